"""``@workflow``: a body that is traced into a definition, and definitions that were loaded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from raywf.core.plan import FunctionRef, Plan
from raywf.definition.compensation import compensation_ref
from raywf.definition.fallback import fallback_ref
from raywf.definition.functions import check_arity, resolve_function
from raywf.definition.limits import limits_data
from raywf.definition.lines import line_of, user_line
from raywf.definition.names import ID, RESERVED_PARAMETERS
from raywf.definition.starts import Start, start_data
from raywf.definition.tasks import Callee, Limits, Task, by_name, several
from raywf.definition.tracing import Trace, active, check_id, required
from raywf.definition.triggers import check_triggers
from raywf.definition.workers import pool_refs
from raywf.errors import CodeMissing, DefinitionError

if TYPE_CHECKING:
    from raywf.definition.model import WorkflowDefinition

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Callee[P, R]):
    """A function marked ``@workflow``. Its body runs in the client at the first use of ``definition``, never at import.

    In another body, calling it makes a child execution. Elsewhere it is run by an engine.
    """

    kind = "workflow"
    __qualname__: str  # that of the function, as functools.update_wrapper leaves it

    def __init__(
        self,
        function: Callable[..., Any],
        id: str,
        name: str,
        version: str,
        description: str,
        configuration: Mapping[str, Any] | None = None,
        triggers: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.signature_source = function
        self.id = id
        self.name = name
        self.version = version
        self.description = description
        self.configuration = dict(configuration or {})
        self.triggers = [dict(each) for each in triggers]

    @property
    def stem(self) -> str:
        return self.id

    @property
    def definition(self) -> WorkflowDefinition:
        """The graph as data. Traced twice at first use; raises ``DefinitionError``."""
        return self._traced[0]

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The plain functions of all tasks, those of child workflows too, by the path the definition gives them."""
        found: dict[str, Callable[..., Any]] = {}
        for ref, function in self.functions_by_ref.items():
            found.setdefault(ref.path, function)
        return found

    @property
    def functions_by_ref(self) -> dict[FunctionRef, Callable[..., Any]]:
        """The same by path and source: a child traced earlier may know an older function of the same name."""
        return self._traced[1]

    @functools.cached_property
    def _traced(self) -> tuple[WorkflowDefinition, dict[FunctionRef, Callable[..., Any]]]:
        from raywf.definition.bodies import trace_twice

        return trace_twice(self)

    @functools.cached_property
    def plan(self) -> Plan:
        from raywf.definition.compile import compile_plan

        return compile_plan(self.definition)

    def check(self) -> None:
        """Everything that can be known before anything runs: the graph, and that each function is there and takes its
        arguments. Raises ``DefinitionError`` or ``CodeMissing``."""
        _ = self.plan

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = active()
        if trace is None:
            raise DefinitionError(
                f"{user_line()}: workflow {self.id!r} was called like a function outside of another workflow's body: "
                f"an engine runs it, as in `with raywf.connect() as engine: engine.run({self.id}, …)`, and in tests "
                f"raywf.testing.run({self.id}, …)"
            )
        return self._call(trace, args, kwargs)  # type: ignore[no-any-return]

    def map(self, /, *lists: Iterable[Any], **same: Any) -> list[R]:
        """One child execution per item: positional arguments go in step, keyword arguments go whole to each."""
        return self._map(required(f"{self.id}.map"), lists, same)  # type: ignore[no-any-return]

    def with_options(self, *, id: str | None = None, after: object = None, **unknown: Any) -> ConfiguredWorkflow[P, R]:
        """The same workflow as a task with an id of its own; ``after`` gives order without data."""
        if unknown:
            raise DefinitionError(
                f"{user_line()}: workflow {self.id!r}: there is no option {next(iter(unknown))!r} for a child "
                "workflow; options are id and after. Retries and timeouts belong to its tasks"
            )
        return ConfiguredWorkflow(self, None if id is None else check_id(f"workflow {self.id!r}", id), several(after))

    def _data(self, trace: Trace) -> dict[str, Any]:
        return {"workflow": self}  # its definition takes this place when the body has ended

    def __reduce__(self) -> Any:
        """By name where the name leads here; else with the body, which is traced again where it arrives."""
        if by_name(self):
            return self.__qualname__
        said = (self.function, self.id, self.name, self.version, self.description, self.configuration, self.triggers)
        return type(self), said

    def __repr__(self) -> str:
        return f"<workflow {self.id} version {self.version}>"


class ConfiguredWorkflow(Callee[P, R]):
    """A workflow with options for the calls made through it."""

    kind = "workflow"

    def __init__(self, workflow: Workflow[P, R], id: str | None, after: tuple[object, ...]) -> None:
        self.workflow = workflow
        self.signature_source = workflow.signature_source
        self.call_id = id
        self.call_after = after

    @property
    def stem(self) -> str:
        return self.workflow.id

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = active()
        if trace is None:
            return self.workflow(*args, **kwargs)
        return self._call(trace, args, kwargs)  # type: ignore[no-any-return]

    def map(self, /, *lists: Iterable[Any], **same: Any) -> list[R]:
        return self._map(required(f"{self.stem}.map"), lists, same)  # type: ignore[no-any-return]

    def _data(self, trace: Trace) -> dict[str, Any]:
        return {"workflow": self.workflow}


class LoadedWorkflow(Workflow[..., Any]):
    """A definition that came as data, usable wherever a ``Workflow`` is. Its functions are imported when needed."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self._definition = definition
        self.id = definition.id
        self.name = definition.name
        self.version = definition.version
        self.description = definition.description
        self.configuration = dict(definition.configuration)
        self.triggers = list(definition.triggers)
        self.__name__ = definition.id
        self.function = self.signature_source = _stand_in(definition)

    @property
    def definition(self) -> WorkflowDefinition:
        return self._definition

    def __reduce__(self) -> Any:
        return LoadedWorkflow, (self._definition,)

    @functools.cached_property
    def _traced(self) -> tuple[WorkflowDefinition, dict[FunctionRef, Callable[..., Any]]]:
        found = {}
        for ref in function_refs(self._definition):
            try:
                found[ref] = resolve_function(ref)
            except CodeMissing:
                if not ref.by_value:  # one that goes by value may be in the engine, sent by the program that has it
                    raise
        return self._definition, found

    def check(self) -> None:
        from raywf.definition.inputs import binder_of

        _ = self.plan, binder_of(self)
        check_functions(self._definition)


def _stand_in(definition: WorkflowDefinition) -> Callable[..., Any]:
    """A function with the signature of a loaded definition."""

    def body(*args: Any, **kwargs: Any) -> Any:
        raise DefinitionError(f"workflow {definition.id!r} was loaded as data: an engine runs it")

    parameters, optional = [], False
    for name, schema in definition.parameters.items():
        # Python wants all after the first default to have one too; what is missing there shows when it is bound.
        optional = optional or "default" in schema
        default = None if optional else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    body.__name__ = definition.id
    return body


def as_workflow(given: Any) -> Workflow[Any, Any]:
    """A ``Workflow`` from a ``Workflow`` or a ``WorkflowDefinition``. Raises ``DefinitionError`` for anything else."""
    if isinstance(given, Workflow):
        return given
    from raywf.definition.model import WorkflowDefinition

    if isinstance(given, WorkflowDefinition):
        if given._workflow is None:
            given._workflow = LoadedWorkflow(given)
        return given._workflow  # type: ignore[no-any-return]
    name = getattr(given, "__name__", None)
    what = (
        f"the {'task' if isinstance(given, Task) else 'function'} {name!r}" if callable(given) and name else repr(given)
    )
    raise DefinitionError(f"{what:.100} is not a workflow: mark the function @workflow, or load a definition")


def function_refs(definition: WorkflowDefinition) -> list[FunctionRef]:
    """The functions a definition calls, those of its children too."""
    found: dict[FunctionRef, None] = {}
    for each in (definition, *definition.children().values()):
        for task in each.tasks:
            if task.function is not None:
                found[FunctionRef(task.function, task.source_hash, task.by_value)] = None
            undo = task.options.get("compensate")
            undo = undo.get("options", {}) if isinstance(undo, dict) else {}
            pooled = (ref for options in (task.options, undo) for _, ref in pool_refs(options))
            for other in (compensation_ref(task.options), fallback_ref(task.options), *pooled):
                if other is not None:
                    found[other] = None
    return list(found)


def check_functions(definition: WorkflowDefinition) -> None:
    """Import every function of a definition and check that it takes its arguments.

    Raises ``CodeMissing`` or ``DefinitionError`` naming the task.
    """
    for each in (definition, *definition.children().values()):
        for task in each.tasks:
            who = f"workflow {each.id!r}: task {task.id!r}"
            positional = task.args if task.map is None else task.map
            if task.function is not None:
                function = resolve_function(FunctionRef(task.function, task.source_hash, task.by_value))
                check_arity(who, function, positional, task.kwargs)
                undo = compensation_ref(task.options)
                if undo is not None:
                    check_arity(f"{who}: compensate", resolve_function(undo), (None,), {})
                other = fallback_ref(task.options)
                if other is not None:
                    check_arity(f"{who}: fallback", resolve_function(other), positional, task.kwargs)
                for name, ref in pool_refs(task.options):
                    check_arity(f"{who}: pool: {name}", resolve_function(ref), () if name == "setup" else (None,), {})
            elif task.workflow is not None:
                check_arity(who, _stand_in(task.workflow), positional, task.kwargs)


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    version: str | int = "1",
    id: str | None = None,
    name: str | None = None,
    description: str | None = None,
    limits: Limits | None = None,
    triggers: Sequence[Mapping[str, Any]] = (),
    start: Start | None = None,
) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
def workflow(
    function: Any = None,
    /,
    *,
    version: str | int = "1",
    id: str | None = None,
    name: str | None = None,
    description: str | None = None,
    limits: Limits | None = None,
    triggers: Sequence[Mapping[str, Any]] = (),
    start: Start | None = None,
) -> Any:
    """Mark a plain ``def`` as the body of a workflow. ``version`` is a label; ``id`` (else ``name``, else the function's
    name) is what executions and their histories are found by. ``triggers`` (``raywf.on_cron``) start it by themselves once
    ``engine.register`` has put them into effect; ``start`` (``raywf.Debounce``, ``Singleton`` or ``Batch``) says how submits become
    executions.

    Raises ``DefinitionError`` for what cannot be a body.
    """
    if function is None:
        return lambda body: _make(body, version, id, name, description, limits, triggers, start)
    return _make(function, version, id, name, description, limits, triggers, start)


def _make(
    function: Any,
    version: Any,
    id: str | None,
    name: str | None,
    description: str | None,
    limits: Any,
    triggers: Any,
    start: Any,
) -> Workflow[Any, Any]:
    _check_body(function)
    if id is None:
        id = name if name is not None and ID.match(name) else function.__name__
    check_id(f"{user_line()}: workflow", id)
    if isinstance(version, bool) or not isinstance(version, (str, int, float)) or str(version) == "":
        raise DefinitionError(
            f"{user_line()}: workflow {id!r}: version is a label like '1' or '2024-05', not {version!r}"
        )
    if description is None:
        description = inspect.getdoc(function) or ""
    configuration: dict[str, Any] = (
        {} if limits is None else {"limits": limits_data(f"{user_line()}: workflow {id!r}", limits)}
    )
    if start is not None:
        configuration["start"] = start_data(f"{user_line()}: workflow {id!r}: start", start)
    check_triggers(f"{user_line()}: workflow {id!r}", triggers)
    return Workflow(function, id, name if name is not None else "", str(version), description, configuration, triggers)


def _check_body(function: Any) -> None:
    code = getattr(function, "__code__", None)
    line = line_of(code.co_filename, code.co_firstlineno) if code is not None else user_line()
    if isinstance(function, Callee):
        raise DefinitionError(f"{line}: {function!r} cannot be the body of a workflow: @workflow takes a plain def")
    if not inspect.isfunction(function):
        raise DefinitionError(
            f"{user_line()}: @workflow takes a function, not {function!r:.100}. Options are given by keyword, as in "
            "@workflow(version='2')"
        )
    who = f"{line}: the body of workflow {function.__name__!r}"
    if inspect.iscoroutinefunction(function):
        raise DefinitionError(
            f"{who} is an async def: a body only builds the graph and waits for nothing, so write a plain def "
            "(its tasks may be async)"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{who} is a generator: a body returns its result, so write return instead of yield")
    if function.__name__ == "<lambda>":
        raise DefinitionError(f"{who} is a lambda: write a def, whose name becomes the workflow's id")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(f"{who} has {str(parameter)!r}: each parameter of a workflow needs a name of its own")
        if parameter.name in RESERVED_PARAMETERS:
            raise DefinitionError(
                f"{who} has a parameter {parameter.name!r}, which is the name of an option of submit(): call it "
                "something else"
            )


__all__ = ["ConfiguredWorkflow", "LoadedWorkflow", "Workflow", "as_workflow", "check_functions", "workflow"]
