"""What ready tasks have in common: a call that would put a secret into the definition is refused while the graph is built,
before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeAlias, TypeGuard, TypeVar

from raywf.definition.context import current
from raywf.definition.functions import signature_of
from raywf.definition.lines import user_line
from raywf.definition.options import Retry, to_data
from raywf.definition.secrets import Secret
from raywf.definition.tasks import AsyncTask, Task
from raywf.definition.templates import BEGIN
from raywf.definition.tracing import Trace
from raywf.errors import DefinitionError, InvalidInput, RaywfError

P = ParamSpec("P")
R = TypeVar("R")
Check: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Looks at the arguments of a call by name, references among them. Raises ``InvalidInput``."""

_CHECKS: dict[str, Check] = {}


class ReadyTask(Task[P, R]):
    """A ready task. Its check sees every call in a body."""

    def _check(self, trace: Trace, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._check(trace, who, args, kwargs)
        _refuse(self, trace, who, args, kwargs)


class AsyncReadyTask(AsyncTask[P, R]):
    """The same for an async function."""

    def _check(self, trace: Trace, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._check(trace, who, args, kwargs)
        _refuse(self, trace, who, args, kwargs)


def _refuse(task: Task[Any, Any], trace: Trace, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    signature = signature_of(task.function)
    names = [] if signature is None else list(signature.parameters)
    try:
        _CHECKS[task.__qualname__]({**dict(zip(names, args, strict=False)), **kwargs})
    except InvalidInput as error:
        raise DefinitionError(f"{user_line(trace.body_file)}: {who}: {error}") from None


def options_of(name: str, retry: Retry, check: Check) -> dict[str, Any]:
    """The options of a ready task, whose check is known from now on."""
    _CHECKS[name] = check
    return to_data(f"task {name!r}", {"retry": retry})


def is_known(given: Any) -> TypeGuard[str]:
    """Whether a text is the one that will be used, and has no reference in it that is filled in later."""
    return type(given) is str and BEGIN not in given


def idempotency_key() -> str | None:
    """The key of the task that runs here; None outside of a workflow, where nothing is repeated."""
    try:
        return current().idempotency_key
    except RaywfError:
        return None


def revealed(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in given.items()}
