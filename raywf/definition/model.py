"""``WorkflowDefinition``: a workflow as pydantic data, the same whether it was traced, loaded or stored."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    computed_field,
    field_validator,
    model_serializer,
    model_validator,
)

from raywf.core.plan import NodeKind


class _Data(BaseModel):
    """Frozen data whose dump leaves out what was not given, so that equal definitions have equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    null_counts: ClassVar[frozenset[str]] = frozenset()
    """Fields for which null is not the same as absent."""

    @model_serializer(mode="wrap")
    def _compact(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data = {}
        for key, value in handler(self).items():
            name = _ATTRIBUTES.get(key, key)
            if name not in type(self).model_fields or self._says(name):
                data[_KEYS.get(name, name)] = value
        return data

    def _as_data(self) -> dict[str, Any]:
        """The same without pydantic's own recursion, which ends before a hundred levels of child workflows."""
        return {
            _KEYS.get(name, name): _plain(getattr(self, name)) for name in type(self).model_fields if self._says(name)
        }

    def _says(self, name: str) -> bool:
        """Whether a field says something that its absence would not."""
        if name in self.null_counts:
            return name in self.model_fields_set
        return bool(getattr(self, name) != _defaults(type(self)).get(name, _REQUIRED))


_REQUIRED = object()


@functools.cache
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }


_KEYS = {"payload_schema": "schema"}  # a model's attribute cannot be called `schema`
_ATTRIBUTES = {key: name for name, key in _KEYS.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, _Data):
        return value._as_data()
    return [_plain(each) for each in value] if isinstance(value, list) else value


class Sleep(_Data):
    seconds: Any
    value: Any = None


class Signal(_Data):
    null_counts: ClassVar = frozenset({"default"})
    name: Any
    timeout: Any = None
    default: Any = None
    payload_schema: Any = Field(default=None, alias="schema")
    update: dict[str, Any] | None = None


class Approval(_Data):
    null_counts: ClassVar = frozenset({"on_reject", "on_timeout"})
    prompt: Any
    data: Any = None
    timeout: Any = None
    on_reject: Any = None
    on_timeout: Any = None
    assignee: Any = None
    approvers: Any = None
    required: Any = 1
    escalate_after: Any = None
    escalate_to: Any = None


class Loop(_Data):
    """``body`` lists the tasks of one pass. Inside of it the loop's own id stands for the state the pass began with;
    ``result`` is the state it leaves, and ``until`` the condition under which it was the last pass."""

    null_counts: ClassVar = frozenset({"initial", "result"})
    initial: Any = None
    body: list[str]
    result: Any = None
    until: dict[str, Any]
    max_iterations: Any = None
    on_limit: str = "fail"


class Aggregate(_Data):
    """``results`` is a list, or a reference to one; ``strategy`` (with settings: ``raywf.definition.strategies``),
    ``accept_at`` and ``reconcile`` as ``raywf.ResultAggregator`` takes them; the others say when the merge need not wait for
    everybody (``raywf.aggregate``)."""

    null_counts: ClassVar = frozenset({"results"})
    results: Any
    strategy: Any = "auto"
    accept_at: Any = 0.7
    reconcile: list[Any] = []
    quorum: Any = None
    at_least: Any = None
    timeout: Any = None
    early_stop: Any = False


class SideResults(_Data):
    """What a ``when`` gives, by the side that ran."""

    then: Any = None
    otherwise: Any = None


class TaskDefinition(_Data):
    """One task: exactly one of ``function, workflow, when, gather, sleep, signal, approval, loop, aggregate`` says what it
    does."""

    null_counts: ClassVar = frozenset({"gather", "map"})
    id: str
    function: str | None = None
    source_hash: str = ""
    by_value: bool = False
    workflow: WorkflowDefinition | None = None
    when: dict[str, Any] | None = None
    then: list[str] = []
    otherwise: list[str] = []
    result: SideResults | None = None
    gather: list[Any] | None = None
    sleep: Sleep | None = None
    signal: Signal | None = None
    approval: Approval | None = None
    loop: Loop | None = None
    aggregate: Aggregate | None = None
    args: list[Any] = []
    map: list[Any] | None = None
    kwargs: dict[str, Any] = {}
    options: dict[str, Any] = {}
    after: list[str] = []

    @property
    def kind(self) -> NodeKind:
        """Which of the kinds it is (the checks have made sure that there is exactly one)."""
        return next(kind for field, kind in KINDS.items() if getattr(self, field) is not None)


KINDS = {
    "function": NodeKind.CALL,
    "workflow": NodeKind.CHILD,
    "when": NodeKind.WHEN,
    "gather": NodeKind.GATHER,
    "sleep": NodeKind.SLEEP,
    "signal": NodeKind.SIGNAL,
    "approval": NodeKind.APPROVAL,
    "loop": NodeKind.LOOP,
    "aggregate": NodeKind.AGGREGATE,
}


_NOTHING_KNOWN: dict[str, Any] = dict.fromkeys(("_body", "_hash", "_binder", "_workflow"))


def _manual() -> list[dict[str, Any]]:
    return [{"type": "manual"}]


class WorkflowDefinition(_Data):
    """A workflow as data.

    ``parameters`` maps each name, in order, to its JSON schema; one with a ``default`` need not be given. ``tasks`` and
    ``result`` use the references of ``raywf.definition.recording``. Building one checks it: ``DefinitionError`` names
    the place, the task and, for a cycle, the whole path.
    """

    null_counts: ClassVar = frozenset({"result"})
    id: str
    name: str = ""
    description: str = ""
    version: str = "1"
    parameters: dict[str, dict[str, Any]] = {}
    tasks: list[TaskDefinition] = []
    configuration: dict[str, Any] = {}
    triggers: list[dict[str, Any]] = Field(default_factory=_manual)
    result: Any = None

    _body: bytes | None = PrivateAttr(None)
    _hash: str | None = PrivateAttr(None)
    _binder: Any = PrivateAttr(None)
    _workflow: Any = PrivateAttr(None)

    @field_validator("version", mode="before")
    @classmethod
    def _text_version(cls, version: Any) -> Any:
        return str(version) if isinstance(version, (int, float)) and not isinstance(version, bool) else version

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, handler: Any, info: ValidationInfo) -> WorkflowDefinition:
        from raywf.definition.checks import check, check_dependencies

        if isinstance(data, cls):
            return data
        claimed = None
        if isinstance(data, Mapping) and "dependencies" in data:
            claimed = data["dependencies"]
            data = {key: value for key, value in data.items() if key != "dependencies"}
        definition: WorkflowDefinition = handler(data)
        check(definition)
        if claimed is not None:
            check_dependencies(definition, claimed)
        return definition

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("name") and "id" in data:
            return {**data, "name": data["id"]}
        return data

    @field_validator("parameters", mode="before")
    @classmethod
    def _untyped(cls, parameters: Any) -> Any:
        """A name without a schema takes anything."""
        if not isinstance(parameters, Mapping):
            return parameters
        return {name: {} if schema is None else schema for name, schema in parameters.items()}

    def _says(self, name: str) -> bool:
        if name == "version":
            return True
        return self.name != self.id if name == "name" else super()._says(name)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dependencies(self) -> dict[str, list[str]]:
        """Task id -> the tasks it waits for. Derived from ``tasks``, for readers."""
        from raywf.definition.checks import dependencies

        return dependencies(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowDefinition) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __copy__(self) -> Self:
        return self._forgetful(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self._forgetful(super().__deepcopy__(memo))

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": dict(_NOTHING_KNOWN)}

    @classmethod
    def _forgetful(cls, copied: Self) -> Self:
        """A copy that may be changed must not know the hash of what it was."""
        for name, value in _NOTHING_KNOWN.items():
            setattr(copied, name, value)
        return copied

    # the stored form

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, without what was not given and without what is derived."""
        return self._as_data()

    @property
    def body(self) -> bytes:
        """The canonical JSON: what is stored, and what ``content_hash`` hashes."""
        if self._body is None:
            self._body = json.dumps(
                self.to_data(), ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
            ).encode()
        return self._body

    @property
    def content_hash(self) -> str:
        """SHA-256 of ``body``, in hexadecimal."""
        if self._hash is None:
            self._hash = hashlib.sha256(self.body).hexdigest()
        return self._hash

    def children(self) -> dict[str, WorkflowDefinition]:
        """Content hash -> definition of the child workflows, at every depth."""
        found: dict[str, WorkflowDefinition] = {}
        for task in self.tasks:
            if task.workflow is not None:
                found |= task.workflow.children()
                found[task.workflow.content_hash] = task.workflow
        return found

    # doors

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_data(), indent=indent, ensure_ascii=False)

    def to_yaml(self) -> str:
        from raywf.definition.loading import dump_yaml

        return dump_yaml(self.to_data())

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = "JSON") -> WorkflowDefinition:
        """Raises ``DefinitionError`` with source, line and place."""
        from raywf.definition.loading import load_json

        return load_json(text, source)

    @classmethod
    def from_yaml(cls, text: str | bytes, *, source: str = "YAML") -> WorkflowDefinition:
        """Raises ``DefinitionError`` with source, line and place."""
        from raywf.definition.loading import load_yaml

        return load_yaml(text, source)

    @classmethod
    def load(cls, path: str | Path) -> WorkflowDefinition:
        """Read a ``.json``, ``.yaml`` or ``.yml`` file. Raises ``NotFound`` or ``DefinitionError``."""
        from raywf.definition.loading import load_file

        return load_file(Path(path))

    def to_mermaid(self, states: Mapping[str, str] | None = None) -> str:
        """The graph as a Mermaid flowchart; ``states`` maps task ids to statuses, which colour the tasks."""
        from raywf.definition.drawing import mermaid

        return mermaid(self, states or {})
