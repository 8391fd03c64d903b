"""References: what a parameter and a task's result are while a body is being traced.

A reference can be looked into (``[k]``, ``.name``), compared, formatted and passed on. It has no value yet, so whatever
needs one raises ``DefinitionError`` with the task and the line.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

from raywf.definition.lines import user_line
from raywf.definition.templates import marker
from raywf.errors import DefinitionError

Guards = tuple[tuple[str, bool], ...]
"""The ``when`` tasks a place lies in, outermost first, each with its side (True: then)."""

_serials = itertools.count(1)


@dataclass(eq=False, slots=True)
class Draft:
    """A task as far as it is recorded. ``data`` is its JSON form without ``after``."""

    id: str
    data: dict[str, Any]
    guards: Guards
    line: str
    after: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Scope:
    """One run of one body: what references and texts of this run belong to."""

    workflow: str
    body_file: str | None = None
    guards: Guards = ()
    loops: set[str] = field(default_factory=set)
    templates: dict[str, tuple[Any, str, str]] = field(default_factory=dict)
    serial: int = field(default_factory=lambda: next(_serials))


active_scope: ContextVar[Scope | None] = ContextVar("raywf_scope", default=None)
"""The run of a body that goes on here, if one does."""


class ReferenceAttributeError(DefinitionError, AttributeError):
    """A reference has no such attribute."""


class Expression:
    """A reference or a condition: something that has a value only at run time."""

    __slots__ = ("_raywf_scope",)
    _raywf_scope: Scope

    def __str__(self) -> str:
        return marker(self._raywf_scope, self, describe(self), "s")

    def __repr__(self) -> str:
        if active_scope.get() is None:
            return f"<reference to {describe(self)} of workflow {self._raywf_scope.workflow!r}>"
        return marker(self._raywf_scope, self, describe(self), "r")

    def __format__(self, spec: str) -> str:
        return marker(self._raywf_scope, self, describe(self), "", spec)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return _compare("==", self, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return _compare("!=", self, other)

    def __lt__(self, other: object) -> Condition:
        return _compare("<", self, other)

    def __le__(self, other: object) -> Condition:
        return _compare("<=", self, other)

    def __gt__(self, other: object) -> Condition:
        return _compare(">", self, other)

    def __ge__(self, other: object) -> Condition:
        return _compare(">=", self, other)

    def __and__(self, other: object) -> Condition:
        return _logic("and", self, other)

    def __or__(self, other: object) -> Condition:
        return _logic("or", self, other)

    def __rand__(self, other: object) -> Condition:
        return _logic("and", other, self)

    def __ror__(self, other: object) -> Condition:
        return _logic("or", other, self)

    def __invert__(self) -> Condition:
        return Condition(self._raywf_scope, "not", (self,))

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Reference(Expression):
    """A parameter (``task`` None, its name first in the path) or the result of a task, then keys to follow."""

    __slots__ = ("_raywf_path", "_raywf_task")
    _raywf_task: Draft | None
    _raywf_path: tuple[str | int, ...]

    def __init__(self, scope: Scope, task: Draft | None, path: tuple[str | int, ...] = ()) -> None:
        object.__setattr__(self, "_raywf_scope", scope)
        object.__setattr__(self, "_raywf_task", task)
        object.__setattr__(self, "_raywf_path", path)

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("_"):
            line = user_line(self._raywf_scope.body_file)
            raise ReferenceAttributeError(
                f"{line}: {describe(self)} has no attribute {name!r}: names that begin with '_' cannot be reached through a "
                "reference. Read it inside a task."
            )
        return Reference(self._raywf_scope, self._raywf_task, (*self._raywf_path, name))

    def __getitem__(self, key: object) -> Reference:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            shown = describe(key) if isinstance(key, Expression) else repr(key)
            refuse(self, f"was indexed with {shown}: a key is a string or an integer that is known when the graph is "
                   "built. Do other lookups and slices inside a task")  # fmt: skip
        return Reference(self._raywf_scope, self._raywf_task, (*self._raywf_path, key))

    def after(self, *others: object) -> Reference:
        """Order without data: this task starts only when ``others`` have completed. Gives this reference again."""
        if self._raywf_task is None:
            refuse(self, "was asked for .after(): a parameter is there from the start; read a field of that name "
                   "with ['after']")  # fmt: skip
        for other in others:
            self._raywf_task.after.append(_prerequisite(self, other))
        return self


class Condition(Expression):
    """A recorded comparison or ``& | ~``. ``op`` is the comparison's sign, or ``and``, ``or``, ``not``."""

    __slots__ = ("_raywf_op", "_raywf_operands")
    _raywf_op: str
    _raywf_operands: tuple[Any, ...]

    def __init__(self, scope: Scope, op: str, operands: tuple[Any, ...]) -> None:
        object.__setattr__(self, "_raywf_scope", scope)
        object.__setattr__(self, "_raywf_op", op)
        object.__setattr__(self, "_raywf_operands", operands)

    def __getattr__(self, name: str) -> NoReturn:
        line = user_line(self._raywf_scope.body_file)
        raise ReferenceAttributeError(f"{line}: {describe(self)} is a condition: it has no attribute {name!r}")


def describe(expression: object) -> str:
    """How errors and markers call an expression: ``task 'write'['score']``, ``parameter 'question'``."""
    if isinstance(expression, Reference):
        path = expression._raywf_path
        if expression._raywf_task is None:
            return f"parameter {path[0]!r}" + "".join(f"[{key!r}]" for key in path[1:])
        return f"task {expression._raywf_task.id!r}" + "".join(f"[{key!r}]" for key in path)
    if isinstance(expression, Condition):
        op, operands = expression._raywf_op, [describe(each) for each in expression._raywf_operands]
        return f"not ({operands[0]})" if op == "not" else f"({operands[0]} {op} {operands[1]})"
    return f"{expression!r:.60}"


def refuse(expression: Expression, what: str) -> NoReturn:
    """Raise the error that says which reference was used wrongly, where, and what to do instead."""
    scope = expression._raywf_scope
    raise DefinitionError(f"{user_line(scope.body_file)}: {describe(expression)} {what}")


def check_in_scope(scope: Scope, reference: Reference, what: str) -> None:
    """A reference may be used in the run it belongs to, and where its side of a ``when`` has been taken for sure."""
    if reference._raywf_scope is not scope:
        other = reference._raywf_scope.workflow
        whose = f"workflow {other!r}" if other != scope.workflow else f"another run of the body of {other!r}"
        refuse(reference, f"is used as {what} in workflow {scope.workflow!r}, but it is a foreign reference: it "
               f"belongs to {whose}. Call the workflow as a task, or pass the value as an argument")  # fmt: skip
    task = reference._raywf_task
    if task is not None and scope.guards[: len(task.guards)] != task.guards:
        when, side = task.guards[-1]
        if when in scope.loops:
            refuse(reference, f"is used as {what} outside of the body of loop {when!r}, where it has another value in "
                   "every pass. Use the state that raywf.loop gives")  # fmt: skip
        refuse(reference, f"is used as {what} outside of the {'then' if side else 'otherwise'} side of {when!r} it "
               "belongs to: that side may not run. Use the value that raywf.when gives")  # fmt: skip


def _prerequisite(reference: Reference, other: object) -> str:
    task = reference._raywf_task
    assert task is not None
    if not isinstance(other, Reference) or other._raywf_task is None:
        kind = "a function" if callable(other) and not isinstance(other, Expression) else describe(other)
        name = getattr(other, "__name__", "") if callable(other) and not isinstance(other, Expression) else ""
        refuse(reference, f"was asked to run .after() {kind}{f' {name!r}' if name else ''}: it takes what calling a "
               "task gives, as in f(x).after(g(y))")  # fmt: skip
    scope = reference._raywf_scope
    here, scope.guards = scope.guards, task.guards
    try:
        check_in_scope(scope, other, f"prerequisite of task {task.id!r}")
    finally:
        scope.guards = here
    return other._raywf_task.id


def _compare(op: str, left: Expression, right: object) -> Condition:
    return Condition(left._raywf_scope, op, (left, right))


def _logic(op: str, left: object, right: object) -> Condition:
    known = left if isinstance(left, Expression) else right
    assert isinstance(known, Expression)
    for each in (left, right):
        if not isinstance(each, Expression):
            refuse(known, f"is combined by {'&' if op == 'and' else '|'} with {each!r:.60}, which is not a condition: "
                   "both sides must be comparisons or references")  # fmt: skip
    return Condition(known._raywf_scope, op, (left, right))


_TRUTH = (
    "was used as a truth value (if, while, and, or, not, in), but it has no value while the graph is being built: "
    "use raywf.when(condition, then=…, otherwise=…), and & | ~ between conditions"
)
_INSIDE = ", but it has no value while the graph is being built: do that inside a task"
_FORBIDDEN = {
    "__bool__": _TRUTH,
    "__contains__": "was searched with 'in'" + _INSIDE,
    "__iter__": "was iterated or unpacked" + _INSIDE + ", or fan out with task.map(reference)",
    "__reversed__": "was reversed" + _INSIDE,
    "__len__": "was asked for its length" + _INSIDE,
    "__hash__": "was used as a key of a dict or in a set" + _INSIDE,
    "__call__": "was called" + _INSIDE,
    "__await__": "was awaited, but a body does not wait: pass the reference on, and the task that gets it waits",
    "__exit__": "was entered with 'with'" + _INSIDE,
    "__aiter__": "was iterated with 'async for'" + _INSIDE,
    "__aenter__": "was entered with 'async with'" + _INSIDE,
    "__enter__": "was entered with 'with'" + _INSIDE,
    "__setitem__": "was changed by item assignment" + _INSIDE,
    "__delitem__": "was changed by 'del'" + _INSIDE,
    "__setattr__": "was changed by attribute assignment" + _INSIDE,
    "__delattr__": "was changed by 'del'" + _INSIDE,
    "__reduce_ex__": "was pickled; it is good only in the body it comes from",
}
_ARITHMETIC = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift xor".split()
_FORBIDDEN |= {f"__{side}{op}__": "was used in arithmetic" + _INSIDE for op in _ARITHMETIC for side in ("", "r")}
_NUMBERS = "neg pos abs round trunc floor ceil int float complex index bytes fspath".split()
_FORBIDDEN |= {f"__{op}__": f"was converted with {op}" + _INSIDE for op in _NUMBERS}


def _forbidden(name: str, what: str) -> Callable[..., NoReturn]:
    def method(self: Expression, *args: object, **kwargs: object) -> NoReturn:
        refuse(self, what)

    method.__name__ = name
    return method


for _name, _what in _FORBIDDEN.items():
    setattr(Expression, _name, _forbidden(_name, _what))


def _no_item(self: Condition, key: object) -> NoReturn:
    refuse(self, f"was indexed with {key!r}: a condition is only true or false")


setattr(Condition, "__getitem__", _no_item)  # noqa: B010
