"""``@task``: a function that can be a task of a workflow, and stays the plain function everywhere else."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from raywf.core.plan import FunctionRef
from raywf.definition.caching import Cache, check_ignored
from raywf.definition.compensation import compensation_data
from raywf.definition.fallback import fallback_data
from raywf.definition.functions import check_arity, function_ref, plain, signature_of
from raywf.definition.limits import Limit
from raywf.definition.lines import user_line
from raywf.definition.names import ID, MAX_WIDTH
from raywf.definition.options import Retry, to_data
from raywf.definition.references import Expression, describe
from raywf.definition.tracing import Trace, active, check_id, required
from raywf.definition.workers import Workers, pool_data
from raywf.errors import DefinitionError

Limits: TypeAlias = "Limit | Sequence[Limit]"
P = ParamSpec("P")
R = TypeVar("R")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", default=Any)
else:
    T = TypeVar("T")


class Callee(Generic[P, R]):
    """What a body can call: the call's options, and what one call leaves in the trace."""

    kind: str
    signature_source: Callable[..., Any]
    call_id: str | None = None
    call_after: tuple[object, ...] = ()

    @property
    def stem(self) -> str:
        raise NotImplementedError

    def _data(self, trace: Trace) -> dict[str, Any]:
        """The part of the task's data that says what it does."""
        raise NotImplementedError

    def _call(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        who = f"{self.kind} {self.call_id or self.stem!r}"
        self._check(trace, who, args, kwargs)
        data = self._data(trace)
        if args:
            data["args"] = self._record_args(trace, args, who)
        return self._finish(trace, data, kwargs, who)

    def _map(self, trace: Trace, lists: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        who = f"{self.kind} {self.call_id or self.stem!r}"
        if not lists:
            raise trace.flaw(f"{who}: .map() takes at least one list, as in {self.stem}.map(items)")
        self._check(trace, who, lists, kwargs)
        data = self._data(trace)
        data["map"] = self._record_args(trace, tuple(_items(trace, who, each) for each in lists), who)
        return self._finish(trace, data, kwargs, who)

    def _check(self, trace: Trace, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise ``DefinitionError`` when the call could not be made."""
        check_arity(who, self.signature_source, args, kwargs, line=user_line(trace.body_file))

    def _record_args(self, trace: Trace, args: tuple[Any, ...], who: str) -> list[Any]:
        signature = signature_of(self.signature_source)
        names = list(signature.parameters) if signature is not None else []
        return [
            trace.record(each, f"argument {names[at]!r} of {who}" if at < len(names) else f"argument {at} of {who}")
            for at, each in enumerate(args)
        ]

    def _finish(self, trace: Trace, data: dict[str, Any], kwargs: dict[str, Any], who: str) -> Any:
        if kwargs:
            data["kwargs"] = {name: trace.record(each, f"argument {name!r} of {who}") for name, each in kwargs.items()}
        draft = trace.add(self.stem, data, self.call_id)
        trace.after(draft, self.call_after)
        return trace.reference(draft)


def _items(trace: Trace, who: str, given: Any) -> Any:
    """What is mapped over: a reference, or a list that is known now."""
    if isinstance(given, Expression):
        return given
    if type(given).__module__.partition(".")[0] in ("numpy", "pyarrow"):
        return given
    if (
        isinstance(given, (str, bytes, Mapping))
        or hasattr(given, "model_fields_set")
        or not isinstance(given, Iterable)
    ):
        raise trace.flaw(f"{who}: .map() goes over lists, not over {given!r:.60}: what is the same for all calls is "
                         "given by keyword")  # fmt: skip
    if isinstance(given, (set, frozenset)):
        raise trace.flaw(f"{who}: .map() over a set has no order: give sorted(…)")
    items = list(given)
    if len(items) > MAX_WIDTH:
        raise trace.flaw(f"{who}: .map() over {len(items):,} items; the limit is {MAX_WIDTH:,}")
    return items


class Task(Callee[P, R]):
    """A function marked ``@task``. Called in a body it becomes a task of the graph; called elsewhere it just runs.

    ``function`` is the plain function, ``options`` its options as data.
    """

    _raywf_is_task = True
    kind = "task"
    __qualname__: str  # that of the function, as functools.update_wrapper leaves it

    def __init__(self, function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.signature_source = function
        self.name = name
        self.options = dict(options)

    @property
    def stem(self) -> str:
        return self.name

    @functools.cached_property
    def ref(self) -> FunctionRef:
        """How the function is written down."""
        return function_ref(self.function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = active()
        if trace is None:
            return self.function(*args, **kwargs)  # type: ignore[no-any-return]
        return self._call(trace, args, kwargs)  # type: ignore[no-any-return]

    def map(self, /, *lists: Iterable[Any], **same: Any) -> list[R]:
        """One call per item: positional arguments go in step, keyword arguments go whole to every call."""
        return self._map(required(f"{self.name}.map"), lists, same)  # type: ignore[no-any-return]

    def with_options(
        self,
        *,
        id: str | None = None,
        after: object = None,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        heartbeat_timeout: float | timedelta | None = None,
        cleanup_timeout: float | timedelta | None = None,
        runs_on: str | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        effect: str | None = None,
        in_doubt: str | None = None,
        compensate: Callable[..., Any] | None = None,
        fallback: Callable[..., Any] | None = None,
        limits: Limits | None = None,
        cache: Cache | bool | None = None,
        pool: Workers | None = None,
        **unknown: Any,
    ) -> Task[P, R]:
        """The same task with other options for the calls made through it. ``after`` gives order without data."""
        given = {
            "retry": retry, "timeout": timeout, "runs_on": runs_on, "num_cpus": num_cpus, "num_gpus": num_gpus,
            "memory": memory, "resources": resources, "effect": effect, "in_doubt": in_doubt, "compensate": compensate,
            "fallback": fallback, "limits": limits, "cache": cache, "pool": pool,
            "heartbeat_timeout": heartbeat_timeout, "cleanup_timeout": cleanup_timeout, **unknown,
        }  # fmt: skip
        who = f"task {self.name!r}"
        options = to_data(who, {**self.options, **{name: each for name, each in given.items() if each is not None}})
        other: Task[P, R] = type(self)(self.function, self.name, options)
        other.call_id = self.call_id if id is None else check_id(who, id)
        other.call_after = self.call_after + several(after)
        return other

    def _check(self, trace: Trace, who: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._check(trace, who, args, kwargs)
        if "cache" in self.options:
            check_ignored(f"{user_line(trace.body_file)}: {who}", self.function, self.options)
        fallback = self.options.get("fallback")
        if fallback is not None and not isinstance(fallback, Mapping):
            line = user_line(trace.body_file)
            check_arity(f"{who}: fallback: it gets the same arguments, so", plain(fallback), args, kwargs, line=line)

    def _data(self, trace: Trace) -> dict[str, Any]:
        _refuse_captured(trace, self.function, self.name)
        ref = self.ref
        data: dict[str, Any] = {"function": trace.know(self.function, ref), "source_hash": ref.source_hash}
        if ref.by_value:
            data["by_value"] = True
        if self.options:
            data["options"] = options = dict(self.options)
            if "compensate" in options:
                options["compensate"] = compensation_data(options["compensate"], trace.know)
            if "fallback" in options:
                options["fallback"] = fallback_data(options["fallback"], trace.know)
            if "pool" in options:
                options["pool"] = pool_data(options["pool"], trace.know)
        return data

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        """By name where the name leads here, as functions are; else with the function."""
        if by_name(self) and not self.ref.by_value:
            return self.__qualname__
        return _rebuild, (type(self), self.function, self.name, self.options)

    def __repr__(self) -> str:
        return f"<task {self.name} of {self.__module__}:{self.__qualname__}>"


def by_name(callee: Any) -> bool:
    """Whether another process finds this very object under its module and name."""
    if callee.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(callee.__module__)
    for part in callee.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is callee


def _rebuild(cls: Any, function: Callable[..., Any], name: str, options: dict[str, Any]) -> Any:
    return cls(function, name, options)


class AsyncTask(Task[P, R]):
    """A task whose function is ``async``: outside of a body the call is awaited."""

    if TYPE_CHECKING:
        # In a body this stands for the result, elsewhere for the coroutine: the context decides.
        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T: ...  # type: ignore[type-var]


def several(given: object) -> tuple[object, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _refuse_captured(trace: Trace, function: Callable[..., Any], name: str) -> None:
    """A nested function must not use a reference of the body it was written in: it runs later and elsewhere."""
    cells: Any = getattr(function, "__closure__", None) or ()
    for at, cell in enumerate(cells):
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if isinstance(value, Expression):
            raise trace.flaw(
                f"task {name!r} uses the variable {function.__code__.co_freevars[at]!r} of the body around it, which is {describe(value)}: "
                "a task runs later and elsewhere, so pass it as an argument"
            )


class TaskDecorator(Protocol):
    """What ``@task(...)`` gives."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    id: str | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    heartbeat_timeout: float | timedelta | None = None,
    cleanup_timeout: float | timedelta | None = None,
    runs_on: str | None = None,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    memory: int | None = None,
    resources: Mapping[str, float] | None = None,
    effect: str | None = None,
    in_doubt: str | None = None,
    compensate: Callable[..., Any] | None = None,
    fallback: Callable[..., Any] | None = None,
    limits: Limits | None = None,
    cache: Cache | bool | None = None,
    pool: Workers | None = None,
) -> TaskDecorator: ...
def task(function: Any = None, /, *, name: str | None = None, id: str | None = None, **options: Any) -> Any:
    """Mark a function, sync or async, as something that workflows can run as a task.

    ``timeout`` is in seconds and per attempt; ``heartbeat_timeout`` how long an attempt may be silent, ``cleanup_timeout``
    how long an async one that is asked to end may clean up (10 s where it is not given). ``cache``: keep results by content
    and reuse them (``raywf.Cache``). Any of ``num_cpus, num_gpus,
    memory, resources`` implies ``runs_on="ray"``; with a ``pool`` the task runs in its workers. Raises ``DefinitionError`` for
    options that make no sense.
    """
    if function is None:
        return functools.partial(_make, name=name, id=id, options=options)
    return _make(function, name=name, id=id, options=options)


def _make(function: Any, *, name: str | None, id: str | None, options: Mapping[str, Any]) -> Task[Any, Any]:
    if isinstance(function, Task):
        raise DefinitionError(f"{user_line()}: {function.name!r} is marked @task already: use with_options(…)")
    if not inspect.isroutine(function):
        raise DefinitionError(
            f"{user_line()}: @task takes a function, not {function!r:.100}. Options are given by keyword, as in "
            "@task(timeout=30); a callable object is wrapped in a def"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"{user_line()}: {function.__name__!r} is a generator, and a task gives one value: return a list"
        )
    if name is not None and id is not None and name != id:
        raise DefinitionError(f"{user_line()}: @task was given name={name!r} and id={id!r}: give one of them")
    given: Any = name if name is not None else id
    stem = function.__name__ if given is None else given
    if not isinstance(stem, str) or not ID.match(stem):
        raise DefinitionError(
            f"{user_line()}: a task cannot be called {stem!r}: give it a name of letters, digits, '_' and '-' with "
            "@task(name=…)"
        )
    cls = AsyncTask if inspect.iscoroutinefunction(function) else Task
    return cls(function, stem, to_data(f"task {stem!r}", options))
