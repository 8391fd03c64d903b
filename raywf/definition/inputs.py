"""Arguments of an execution: arranged, checked against the parameters, and encoded.

The encoded form is a JSON object from parameter to encoded value. Checking is lax as pydantic is (``"5"`` fits an
``int``); what does not fit raises ``InvalidInput`` naming the field, before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from raywf.core.bindings import Const
from raywf.definition.expressions import read_value
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.definition.parameters import NO_DEFAULT, parameters_of
from raywf.definition.values import EncodeError, decode, encode, encode_small
from raywf.definition.workflows import LoadedWorkflow, Workflow
from raywf.errors import DefinitionError, InvalidInput

Target: TypeAlias = Workflow[Any, Any] | WorkflowDefinition
Check: TypeAlias = Callable[[Any], Any]
_ABSENT: Any = object()


class Binder:
    """Binds arguments to one workflow's parameters. Built once per workflow: the way of ``submit_many``."""

    def __init__(self, workflow: str, fields: Sequence[tuple[str, Check | None, bytes | None, bool]]) -> None:
        self.workflow = workflow
        self.names = [name for name, _, _, _ in fields]
        self.positional = [name for name, _, _, keyword_only in fields if not keyword_only]
        self.all_positional = len(self.positional) == len(self.names)
        self.fields = [
            (b"%s%s:" % (b"," if at else b"", to_json(name)), check, default, name)
            for at, (name, check, default, _) in enumerate(fields)
        ]

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, validate: bool = True) -> bytes:
        """The encoded input. Raises ``InvalidInput``. Without ``validate`` only names and number are checked."""
        if kwargs or len(args) != len(self.names) or not self.all_positional:
            args = self._arranged(args, kwargs)
        out = [b"{"]
        for (prefix, check, default, name), value in zip(self.fields, args, strict=True):
            out.append(prefix)
            if value is _ABSENT:
                out.append(default or b"null")
                continue
            if check is not None and validate:
                try:
                    value = check(value)
                except ValidationError as error:
                    raise InvalidInput(_misfit(self.workflow, name, value, error)) from None
                except SchemaMisfit as misfit:
                    raise InvalidInput(self._about(name + misfit.place, misfit.message)) from None
            try:
                out.append(encode(value))
            except EncodeError as error:
                raise InvalidInput(self._about(name, str(error))) from None
        out.append(b"}")
        return b"".join(out)

    def bind_single(self, values: Sequence[Any]) -> list[bytes]:
        """``bind`` for each value of a single positional parameter, in a third of the time: nothing of a batch starts before
        all of it is checked. Raises what checking and encoding raise."""
        ((prefix, check, _, _),) = self.fields
        checked = values if check is None else map(check, values)
        return [b"{%s%s}" % (prefix, encode_small(value) or encode(value)) for value in checked]

    def call_of(self, value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that one value stands for."""
        if len(self.names) == 1:
            return ((value,), {}) if self.all_positional else ((), {self.names[0]: value})
        if isinstance(value, (list, tuple)):
            return tuple(value), {}
        if isinstance(value, Mapping):
            return (), {str(name): each for name, each in value.items()}
        if value is None and not self.names:
            return (), {}
        takes = f"{len(self.names)} parameters ({', '.join(self.names)})" if self.names else "no parameters"
        raise InvalidInput(
            f"workflow {self.workflow!r} takes {takes}, and the input is {value!r:.100}: give a list of positional "
            "arguments, or a dict from name to value"
        )

    def _arranged(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        if len(args) > len(self.positional):
            raise InvalidInput(
                f"workflow {self.workflow!r} takes {len(self.positional)} positional arguments "
                f"({', '.join(self.positional)}), and {len(args)} were given"
            )
        values = dict(zip(self.positional, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.names:
                raise InvalidInput(
                    f"workflow {self.workflow!r} has no parameter {name!r}.{did_you_mean(name, self.names)}"
                    f" Parameters: {', '.join(self.names) or 'none'}"
                )
            if name in values:
                raise InvalidInput(self._about(name, "was given twice, by position and by name"))
            values[name] = value
        for _, _, default, name in self.fields:
            if name not in values and default is None:
                raise InvalidInput(self._about(name, "is missing"))
        return [values.get(name, _ABSENT) for name in self.names]

    def _about(self, field: str, what: str) -> str:
        return f"workflow {self.workflow!r}: parameter {field!r}: {what}"


def _misfit(workflow: str, name: str, value: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = name
    for step in first["loc"]:
        field += f"[{step}]" if isinstance(step, int) else f".{step}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"workflow {workflow!r}: parameter {field!r}: {first['msg']}, not {first['input']!r:.100}{more}"


def binder_of(target: Target) -> Binder:
    """The binder of a workflow or a definition, made once."""
    if isinstance(target, Workflow) and not isinstance(target, LoadedWorkflow):
        binder = target.__dict__.get("_raywf_binder")
        if binder is None:
            binder = target.__dict__["_raywf_binder"] = _of_annotations(target)
    else:
        definition = target.definition if isinstance(target, Workflow) else target
        binder = definition._binder
        if binder is None:
            binder = definition._binder = _of_schemas(definition)
    assert isinstance(binder, Binder)
    return binder


def _of_annotations(workflow: Workflow[Any, Any]) -> Binder:
    fields = []
    for each in parameters_of(workflow.function):
        check = None if each.adapter is None else each.adapter.validator.validate_python
        default = None if each.default is NO_DEFAULT else encode(each.default)
        fields.append((each.name, check, default, each.keyword_only))
    return Binder(workflow.id, fields)


def _of_schemas(definition: WorkflowDefinition) -> Binder:
    fields = []
    for name, schema in definition.parameters.items():
        default = None
        if "default" in schema:
            binding = read_value(schema["default"], _no_references, ("parameters", name, "default"))
            assert isinstance(binding, Const)
            default = binding.value
        fields.append((name, schema_check(schema), default, False))
    return Binder(definition.id, fields)


def _no_references(head: str, path: Any, place: Any) -> int:
    raise InvalidInput(f"a default cannot refer to {head!r}")


class SchemaMisfit(Exception):
    """A value does not fit a JSON schema; ``place`` is the path into the value."""

    def __init__(self, place: str, message: str) -> None:
        self.place = place
        self.message = message


def check_schema(schema: Any) -> None:
    """Raise ``DefinitionError`` for what is no JSON schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(_rules(schema))
    except SchemaError as error:
        place = ".".join(str(step) for step in error.absolute_path)
        raise DefinitionError(
            f"this is not a JSON schema: {f'{place}: ' if place else ''}{error.message:.300}"
        ) from None


def _rules(schema: Any) -> Any:
    return {key: rule for key, rule in schema.items() if key != "default"} if isinstance(schema, Mapping) else schema


def schema_check(schema: dict[str, Any]) -> Check | None:
    """A check by JSON schema: the value is looked at in its JSON form, and passes through as it is."""
    rules = _rules(schema)
    if not rules:
        return None
    from jsonschema import Draft202012Validator

    check_schema(rules)
    validator = Draft202012Validator(rules)

    def check(value: Any) -> Any:
        misfit = None if _holds_object(value) else _first_misfit(validator, value)
        if misfit is not None:
            raise misfit
        return value

    return check


def _first_misfit(validator: Any, value: Any) -> SchemaMisfit | None:
    try:
        plain = to_jsonable_python(value)
    except (PydanticSerializationError, ValueError, TypeError):
        return None
    for error in validator.iter_errors(plain):
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        return SchemaMisfit(place, f"{error.message:.300}")
    return None


def _holds_object(value: Any) -> bool:
    """Whether there is a model or a dataclass in a value: its class has checked it, and its JSON form may differ."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_object(item) for item in value)
    if isinstance(value, Mapping):
        return any(_holds_object(item) for item in value.values())
    return isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type))


def call_of(target: Target, value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that one value stands for: the argument of a one-parameter workflow; else a list or tuple gives
    the positional ones and a dict the keywords. Raises ``InvalidInput``."""
    return binder_of(target).call_of(value)


def bind_input(target: Target, args: Sequence[Any], kwargs: Mapping[str, Any], *, validate: bool = True) -> bytes:
    """The encoded input of an execution: ``{parameter: value}`` with defaults filled in. Raises ``InvalidInput``."""
    return binder_of(target).bind(args, kwargs, validate=validate)


def bind_many(target: Target, values: Sequence[Any]) -> list[bytes]:
    """The encoded inputs of a batch, each value standing for its arguments. ``InvalidInput`` has the ``index``."""
    binder = binder_of(target)
    if binder.all_positional and len(binder.fields) == 1:
        with suppress(ValidationError, SchemaMisfit, EncodeError):  # said below, of the first that does not fit
            return binder.bind_single(values)
    bound = []
    for index, value in enumerate(values):
        try:
            bound.append(binder.bind(*binder.call_of(value)))
        except InvalidInput as error:
            raise InvalidInput(str(error), index) from None
    return bound


def input_values(data: bytes) -> dict[str, Any]:
    """The arguments of an encoded input by name."""
    values: dict[str, Any] = decode(data)
    return values
