"""A body being traced: the tasks it called so far, their ids, and the side of a ``when`` it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from raywf.core.plan import FunctionRef
from raywf.definition.lines import user_line
from raywf.definition.names import ID
from raywf.definition.recording import record
from raywf.definition.references import Draft, Expression, Reference, Scope, active_scope
from raywf.errors import DefinitionError


@dataclass(eq=False)
class Trace(Scope):
    """One run of one body."""

    drafts: list[Draft] = field(default_factory=list)
    functions: dict[FunctionRef, Callable[..., Any]] = field(default_factory=dict)
    paths: dict[str, Callable[..., Any]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=lambda: {"input"})

    def add(self, stem: str, data: dict[str, Any], id: str | None = None) -> Draft:
        """Record a task under ``id``, or under the next free id after ``stem``: name, name-2, name-3."""
        draft = Draft(self._new_id(stem, id), data, self.guards, user_line(self.body_file))
        self.ids.add(draft.id)
        self.drafts.append(draft)
        return draft

    def _new_id(self, stem: str, given: str | None) -> str:
        if given is None:
            if stem == "input":
                raise self.flaw("a task cannot have the id 'input', which is reserved for the workflow's parameters: "
                                "give it another with @task(name=…) or with_options(id=…)")  # fmt: skip
            number = self.numbers.get(stem, 0) + 1
            while (id := stem if number == 1 else f"{stem}-{number}") in self.ids:
                number += 1
            self.numbers[stem] = number
            return id
        if given == "input":
            raise self.flaw("the id 'input' is reserved for the workflow's parameters: choose another")
        if given in self.ids:
            lines = [draft.line for draft in self.drafts if draft.id == given]
            raise self.flaw(f"duplicate id {given!r}: the task of {lines[0]} has it already. Choose another")
        return given

    def reference(self, draft: Draft) -> Reference:
        return Reference(self, draft)

    def record(self, value: Any, what: str) -> Any:
        return record(value, self, what)

    def after(self, draft: Draft, others: tuple[object, ...]) -> None:
        if others:
            Reference(self, draft).after(*others)

    @contextmanager
    def side(self, when: Draft, side: bool) -> Iterator[list[str]]:
        """What is called in here belongs to a side of ``when``; gives the ids of its own members when it ends."""
        before, outside = len(self.drafts), self.guards
        members: list[str] = []
        self.guards = (*outside, (when.id, side))
        try:
            yield members
        finally:
            members += [draft.id for draft in self.drafts[before:] if draft.guards == self.guards]
            self.guards = outside

    def know(self, function: Callable[..., Any], ref: FunctionRef) -> str:
        """The path of a function in this workflow: of several by-value functions of one name the later are numbered."""
        path, number = ref.path, 1
        while ref.by_value and self.paths.get(path, function) is not function:
            number += 1
            path = f"{ref.path}#{number}"
        self.paths[path] = function
        self.functions[replace(ref, path=path)] = function
        return path

    def adopt(self, functions: Mapping[FunctionRef, Callable[..., Any]], child: str, line: str) -> None:
        """Take over the functions of a child workflow."""
        for ref, function in functions.items():
            mine = self.functions.setdefault(ref, function)
            if mine is not function and ref.by_value and getattr(function, "__closure__", None):
                raise DefinitionError(
                    f"{line}: workflows {self.workflow!r} and {child!r} use two functions {ref.path!r} with the same text, which "
                    "differ only in the variables around them: give them distinct names, or pass the variables as "
                    "arguments"
                )

    def flaw(self, message: str) -> DefinitionError:
        return DefinitionError(f"{user_line(self.body_file)}: {message}")


def active() -> Trace | None:
    """The trace of the body that runs now, if one does."""
    scope = active_scope.get()
    return scope if isinstance(scope, Trace) else None


def required(what: str) -> Trace:
    """The trace of the body that runs now. Raises ``DefinitionError`` outside of a body."""
    trace = active()
    if trace is None:
        raise DefinitionError(
            f"{user_line()}: {what} was called outside of a workflow: it only means something in the body of a "
            "function marked @workflow, while the graph is being built"
        )
    return trace


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    token = active_scope.set(trace)
    try:
        yield trace
    finally:
        active_scope.reset(token)


def check_id(who: str, id: object) -> str:
    """An id given by a user: letters, digits, ``_`` and ``-``, a letter or ``_`` first."""
    if isinstance(id, Expression) or not isinstance(id, str) or not ID.match(id):
        raise DefinitionError(
            f"{who}: id {id!r} cannot be used: an id has letters, digits, '_' and '-', and begins with a letter or '_'"
        )
    return id
