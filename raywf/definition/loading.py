"""Definitions from and to text. A flaw is named with file, line and place, and with what was probably meant."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from pydantic import BaseModel, ValidationError

from raywf.definition.expressions import Place, PlacedError, place_text
from raywf.definition.inputs import check_schema
from raywf.definition.lines import did_you_mean
from raywf.definition.model import (
    Aggregate,
    Approval,
    Loop,
    SideResults,
    Signal,
    Sleep,
    TaskDefinition,
    WorkflowDefinition,
)
from raywf.definition.recording import constant
from raywf.errors import DefinitionError, NotFound

if TYPE_CHECKING:
    import yaml

Lines: TypeAlias = dict[Place, int]
SUFFIXES = (".json", ".yaml", ".yml")


def load_file(path: Path) -> WorkflowDefinition:
    """Raises ``NotFound`` where there is no such file, ``DefinitionError`` for what it holds."""
    if path.suffix not in SUFFIXES:
        raise DefinitionError(f"{path}: a definition is a {', '.join(SUFFIXES)} file")
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        near = [each.name for each in path.parent.glob("*") if each.suffix in SUFFIXES] if path.parent.is_dir() else []
        raise NotFound(f"there is no file {str(path)!r}.{did_you_mean(path.name, near)}") from None
    except OSError as error:
        raise NotFound(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if path.suffix != ".json":
        return load_yaml(text, str(path))
    return load_json(text, str(path), check_schemas=True)


def load_json(text: str | bytes, source: str, *, check_schemas: bool = False) -> WorkflowDefinition:
    """A definition from JSON. Raises ``DefinitionError``. What comes from a store had its schemas checked before."""
    decoded = _decoded(text, source)
    try:
        data = json.loads(decoded, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise DefinitionError(
            f"{source}:{error.lineno}: this is not JSON: {error.msg} at column {error.colno}"
        ) from None
    except ValueError as error:
        raise DefinitionError(f"{source}: {error}") from None
    except RecursionError:
        raise DefinitionError(f"{source}: the JSON is nested too deeply") from None
    return _build(data, source, lambda: _lines_of_json(decoded), check_schemas)


def load_yaml(text: str | bytes, source: str) -> WorkflowDefinition:
    """A definition from YAML. Raises ``DefinitionError``."""
    import yaml

    try:
        loader = yaml.SafeLoader(_decoded(text, source))
        node = loader.get_single_node()
        lines: Lines = {}
        _read_lines(node, (), lines, source)
        data = _plain(loader.construct_document(node)) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        column = f" at column {mark.column + 1}" if mark is not None else ""
        raise DefinitionError(f"{where}: this is not YAML: {error.problem or error.context}{column}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DefinitionError(f"{source}: this is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DefinitionError(f"{source}: the YAML is nested too deeply, or an anchor contains itself") from None
    return _build(data, source, lambda: lines, check_schemas=True)


def dump_yaml(data: dict[str, Any]) -> str:
    """Data as YAML that loads back the same."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def represent_text(self, text: str) -> yaml.Node:
            # PyYAML writes breaks like NEL into single quotes as they are and reads them back as a space.
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')

    Dumper.add_representer(str, Dumper.represent_text)
    return str(yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


def _decoded(text: str | bytes, source: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{source}: byte {error.start} is not UTF-8: save the file as UTF-8") from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object: the first would be lost")
        found[key] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


# lines


def _lines_of_json(text: str) -> Lines:
    """JSON is nearly YAML: where it is, we learn the lines from there."""
    import yaml

    lines: Lines = {}
    try:
        _read_lines(yaml.SafeLoader(text).get_single_node(), (), lines, "")
    except (yaml.YAMLError, DefinitionError, RecursionError):
        return {}
    return lines


def _read_lines(node: yaml.Node | None, place: Place, lines: Lines, source: str) -> None:
    import yaml

    if node is None or place in lines:
        return
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            _read_lines(item, (*place, at), lines, source)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise DefinitionError(
                    f"{source}:{key.start_mark.line + 1}: the key {key.value!r} stands twice: the first would be lost"
                )
            seen.add(key.value)
            _read_lines(item, (*place, key.value), lines, source)
            lines[(*place, key.value)] = key.start_mark.line + 1


def _plain(value: Any) -> Any:
    """What YAML gives as JSON: dates, other keys and the like become constants in their stored encoding."""
    if isinstance(value, dict):
        items = [(key, _plain(item)) for key, item in value.items()]
        if all(isinstance(key, str) for key, _ in items):
            return dict(items)
        return {"$dict": [[_plain(key), item] for key, item in items]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return constant(value, None, "a YAML value")


# validation


def _build(data: Any, source: str, lines: Callable[[], Lines], check_schemas: bool) -> WorkflowDefinition:
    if not isinstance(data, dict):
        said = "is empty" if data is None else f"holds {type(data).__name__} {data!r:.60}"
        raise DefinitionError(f"{source}: {said}; a definition is an object with id, parameters, tasks and result")
    try:
        _validate_children(data, ())
        definition = WorkflowDefinition.model_validate(data)
        if check_schemas:
            _check_schemas(definition, ())
        return definition
    except PlacedError as error:
        place, message = error.place, error.message
    except ValidationError as error:
        place, message = explain(error)
    known = lines()
    line = next((known[place[:end]] for end in range(len(place), 0, -1) if place[:end] in known), None)
    where = f"{source}:{line}" if line is not None else source
    raise DefinitionError(f"{where}: {f'{place_text(place)}: ' if place else ''}{message}")


def _validate_children(data: Any, place: Place) -> None:
    """Child workflows first, and each put in place of its data: what is wrong in one is named with its place in the
    whole, and deep families need little stack."""
    tasks = data.get("tasks")
    for at, task in enumerate(tasks if isinstance(tasks, list) else ()):
        child = task.get("workflow") if isinstance(task, dict) else None
        if not isinstance(child, dict):
            continue
        here = (*place, "tasks", at, "workflow")
        _validate_children(child, here)
        try:
            task["workflow"] = WorkflowDefinition.model_validate(child)
        except PlacedError as error:
            raise PlacedError((*here, *error.place), error.message) from None
        except ValidationError as error:
            where, message = explain(error)
            raise PlacedError((*here, *where), message) from None


def _check_schemas(definition: WorkflowDefinition, place: Place) -> None:
    for name, schema in definition.parameters.items():
        _check_schema(schema, (*place, "parameters", name))
    for at, task in enumerate(definition.tasks):
        if task.signal is not None and task.signal.payload_schema is not None:
            _check_schema(task.signal.payload_schema, (*place, "tasks", at, "signal", "schema"))
        if task.workflow is not None:
            _check_schemas(task.workflow, (*place, "tasks", at, "workflow"))


def _check_schema(schema: Any, place: Place) -> None:
    try:
        check_schema(schema)
    except DefinitionError as error:
        raise PlacedError(place, str(error)) from None


_MODELS: dict[str, type[BaseModel]] = {
    "sleep": Sleep,
    "signal": Signal,
    "approval": Approval,
    "loop": Loop,
    "aggregate": Aggregate,
    "result": SideResults,
    "workflow": WorkflowDefinition,
}


def explain(error: ValidationError) -> tuple[Place, str]:
    """The place and the message of the first thing that pydantic does not like, in our words."""
    errors = error.errors(include_url=False)
    first = errors[0]
    place: Place = tuple(first["loc"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    name = str(place[-1]) if place else ""
    if first["type"] == "missing":
        return place[:-1], f"{name!r} is missing{more}"
    if first["type"] == "extra_forbidden":
        known = [field.alias or key for key, field in _model_at(place[:-1]).model_fields.items()]
        return place, f"there is no field {name!r} here.{did_you_mean(name, known)}{more}"
    given = f", not {first['input']!r:.60}"
    return place, f"{first['msg'][:1].lower()}{first['msg'][1:]}{given}{more}"


def _model_at(place: Place) -> type[BaseModel]:
    if not place:
        return WorkflowDefinition
    last = place[-1]
    return TaskDefinition if isinstance(last, int) else _MODELS.get(last, WorkflowDefinition)
