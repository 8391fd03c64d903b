"""What a client must send because nobody else can import it: functions of ``__main__``, of notebooks, nested ones."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import cloudpickle
from pydantic import BaseModel

from raywf.definition.functions import function_ref, plain
from raywf.definition.tasks import Task
from raywf.definition.values import class_path
from raywf.definition.workers import pool_functions
from raywf.definition.workflows import Workflow
from raywf.errors import DefinitionError

Key = tuple[str, str]


def by_value_blobs(workflow: Workflow[..., Any] | None = None) -> list[tuple[str, bytes]]:
    """(name, pickled functions and classes) of a workflow's by-value functions; without one, of all tasks of
    ``__main__``, so that executions which waited for this script go on."""
    functions = _of_main() if workflow is None else _of_workflow(workflow)
    if not functions:
        return []
    name = hashlib.sha256(repr(sorted(functions)).encode()).hexdigest()
    return [(name, _pickled(functions))]


def _of_main() -> dict[Key, Callable[..., Any]]:
    main = sys.modules.get("__main__")
    found: dict[Key, Callable[..., Any]] = {}
    for value in list(vars(main).values()) if main is not None else ():
        if isinstance(value, Task) and value.ref.by_value:
            found[(value.ref.path, value.ref.source_hash)] = value.function
        if not isinstance(value, Task):
            continue
        beside = [value.options.get(option) for option in ("compensate", "fallback")]
        for other in (*beside, *(each for _, each in pool_functions(value.options))):
            if other is not None and not isinstance(other, Mapping):
                ref = function_ref(plain(other))
                if ref.by_value:
                    found[(ref.path, ref.source_hash)] = plain(other)
    return found


def _of_workflow(workflow: Workflow[..., Any]) -> dict[Key, Callable[..., Any]]:
    found = workflow.functions_by_ref.items()
    return {(ref.path, ref.source_hash): function for ref, function in found if ref.by_value}


def _pickled(functions: dict[Key, Callable[..., Any]]) -> bytes:
    modules = {function.__module__ for function in functions.values()}
    classes = _classes(functions)
    with _by_value(modules):
        try:
            return cloudpickle.dumps({"functions": functions, "classes": classes})  # type: ignore[no-any-return]
        except Exception as first:
            kept = {path: cls for path, cls in classes.items() if _can_pickle(cls)}
            for key, function in functions.items():
                if not _can_pickle(function):
                    raise DefinitionError(
                        f"the function {key[0]!r} cannot be sent to the engine ({type(first).__name__}: {first}): it uses "
                        "something that belongs to this process. Create that inside the function, or move the function "
                        "into a module that the engine can import."
                    ) from first
            return cloudpickle.dumps({"functions": functions, "classes": kept})  # type: ignore[no-any-return]


def _can_pickle(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def _classes(functions: dict[Key, Callable[..., Any]]) -> dict[str, type]:
    """The data classes that live beside the functions: stored values name them."""
    found = {}
    for function in functions.values():
        for value in list(getattr(function, "__globals__", {}).values()):
            if isinstance(value, type) and value.__module__ == function.__module__ and _holds_data(value):
                found[class_path(value)] = value
    return found


def _holds_data(cls: type) -> bool:
    return (
        issubclass(cls, (BaseModel, enum.Enum))
        or dataclasses.is_dataclass(cls)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )


@contextmanager
def _by_value(modules: set[str]) -> Iterator[None]:
    """Pickle what lives in these modules by value, although they can be imported here."""
    registered = []
    for name in modules - {"__main__"}:
        module = sys.modules.get(name)
        if module is not None:
            try:
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
            except ValueError:
                continue
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
