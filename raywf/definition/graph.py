"""A definition's tasks by number: what each waits for, and what that forbids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raywf.core.bindings import references
from raywf.definition.expressions import Place, PlacedError, read_value
from raywf.definition.lines import did_you_mean
from raywf.definition.reads import index_of, read_task, resolver

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition, WorkflowDefinition


class Graph:
    """A definition's tasks by number, with what each waits for.

    A ``when`` has two moments: its decision (which the members of its sides wait for) and its value (which everybody
    else waits for). Decisions have the task's number, values are ``value(number)``. So has a ``loop``: the beginning of
    a pass, and its end. A loop waits for all that its body uses from outside, so that a pass only waits for itself; and
    a task inside that refers to the loop reads the state its pass began with, for which there is nothing to wait.
    """

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.tasks = definition.tasks
        self.index = index_of(definition)
        resolve = resolver(definition, self.index)
        self.reads = [read_task(task, resolve, ("tasks", at)) for at, task in enumerate(self.tasks)]
        self.result = read_value(definition.result, resolve, ("result",))
        self.after = [self._after(task, ("tasks", at)) for at, task in enumerate(self.tasks)]
        self.guard: list[tuple[int, bool] | None] = [None] * len(self.tasks)
        self._place_sides()
        self.chains = [self.guards(at) for at in range(len(self.tasks))]
        self.loops = [tuple(each for each, _ in chain if self.tasks[each].loop is not None) for chain in self.chains]

    def _after(self, task: TaskDefinition, place: Place) -> tuple[int, ...]:
        for at, id in enumerate(task.after):
            if id not in self.index:
                raise PlacedError(
                    (*place, "after", at),
                    f"task {task.id!r}: unknown dependency {id!r}.{did_you_mean(id, self.index)}",
                )
        return tuple(self.index[id] for id in task.after)

    def _place_sides(self) -> None:
        for at, task in enumerate(self.tasks):
            sides: tuple[tuple[str, list[str], Place], ...] = (
                ("then", task.then, ("then",)),
                ("otherwise", task.otherwise, ("otherwise",)),
                ("then", [] if task.loop is None else task.loop.body, ("loop", "body")),
            )
            for side, ids, where in sides:
                for nth, id in enumerate(ids):
                    place = ("tasks", at, *where, nth)
                    member = self.index.get(id)
                    if member is None:
                        raise PlacedError(
                            place, f"task {task.id!r}: there is no task {id!r}.{did_you_mean(id, self.index)}"
                        )
                    taken = self.guard[member]
                    if taken is not None:
                        raise PlacedError(place, f"task {id!r} belongs to {self._owner(taken[0])} already")
                    self.guard[member] = (at, side == "then")

    def _owner(self, guard: int) -> str:
        kind = "a side of" if self.tasks[guard].loop is None else "the body of loop"
        return f"{kind} {self.tasks[guard].id!r}"

    def _part(self, guard: int, side: bool) -> str:
        """How errors call the inside of a ``when`` or a ``loop``."""
        id = self.tasks[guard].id
        if self.tasks[guard].loop is not None:
            return f"the body of loop {id!r}"
        return f"the {'then' if side else 'otherwise'} side of {id!r}"

    def value(self, task: int) -> int:
        """The moment at which a task's value is there."""
        parted = self.tasks[task].when is not None or self.tasks[task].loop is not None
        return task + len(self.tasks) if parted else task

    def data_needs(self, task: int) -> list[int]:
        """The tasks whose values a task (or a decision, or a first pass) reads."""
        own = {each for binding in self.reads[task].needed() for each in references(binding)}
        return sorted((own | self._from_outside(task)).difference(self.loops[task]))

    def side_needs(self, task: int, side: bool) -> tuple[int, ...]:
        """The tasks whose values one side's value reads; of a loop (a single side), what the end of a pass reads."""
        reads = self.reads[task]
        bindings = (reads.result_then, reads.until) if side else (reads.result_otherwise,)
        found = {each for binding in bindings if binding is not None for each in references(binding)}
        own = (task,) if self.tasks[task].loop is not None else ()
        return tuple(sorted(found.difference(self.loops[task], own)))

    def body(self, loop: int) -> list[int]:
        """The tasks that run in every pass of a loop, those of loops inside it not included."""
        return [at for at, loops in enumerate(self.loops) if loops and loops[-1] == loop]

    def _from_outside(self, task: int) -> set[int]:
        """What the inside of a loop reads or follows that is not inside."""
        if self.tasks[task].loop is None:
            return set()
        found = set(self.side_needs(task, True))
        for at, loops in enumerate(self.loops):
            if task in loops:
                own = {each for binding in self.reads[at].needed() for each in references(binding)}
                both = {*self.side_needs(at, True), *self.side_needs(at, False)}
                found |= (own | both | set(self.after[at])).difference(loops)
        return {each for each in found if task not in self.loops[each]}

    def needs(self, task: int) -> tuple[int, ...]:
        """All tasks that must have completed (the ``when`` it belongs to: decided) before a task begins. In a loop only
        those of the same pass: for the others the loop has waited."""
        guard = self.guard[task]
        own = () if guard is None else (guard[0],)
        needs = {*self.data_needs(task), *self.after[task], *own}
        here = self.loops[task]
        return tuple(sorted(each for each in needs if self.loops[each] == here or each in own))

    def moments(self) -> list[list[int]]:
        """For each moment, the moments it waits for."""
        count = len(self.tasks)
        waits: list[list[int]] = [[] for _ in range(2 * count)]
        for at, task in enumerate(self.tasks):
            waits[at] = [self.value(each) for each in (*self.data_needs(at), *self.after[at])]
            guard = self.guard[at]
            if guard is not None:
                waits[at].append(guard[0])
            if task.loop is not None:
                ends = (*self.body(at), *self.side_needs(at, True))
                waits[at + count] = [at, *(self.value(each) for each in ends)]
            if task.when is not None:
                results = (*self.side_needs(at, True), *self.side_needs(at, False))
                waits[at + count] = [at, *(self.value(each) for each in results)]
        return waits

    # checks

    def guards(self, task: int) -> tuple[tuple[int, bool], ...]:
        """The sides a task lies in, outermost first."""
        chain: list[tuple[int, bool]] = []
        guard = self.guard[task]
        while guard is not None:
            if guard in chain:
                path = [self.tasks[when].id for when, _ in reversed(chain)]
                raise PlacedError(("tasks", guard[0]), _cycle_text([*path, path[0]]))
            chain.append(guard)
            guard = self.guard[guard[0]]
        return tuple(reversed(chain))

    def check_sides(self) -> None:
        """A reference must not lead out of a side: that task may never run."""
        chains = self.chains
        for at in range(len(self.tasks)):
            for each in (*self.data_needs(at), *self.after[at]):
                self._check_reach(at, each, chains[at], chains[each], ("tasks", at))
                for when, _ in chains[at]:
                    if when == each:
                        raise PlacedError(("tasks", at), _cycle_text(self._ids(each, at, each)))
            for side in (True, False):
                for each in self.side_needs(at, side):
                    self._check_reach(at, each, (*chains[at], (at, side)), chains[each], ("tasks", at, "result"))
        for each in references(self.result):
            if chains[each]:
                self._refuse_reach("the result", each, chains[each], ("result",))

    def _check_reach(self, at: int, each: int, here: Any, there: Any, place: Place) -> None:
        if here[: len(there)] != there:
            self._refuse_reach(f"task {self.tasks[at].id!r}", each, there, place)

    def _refuse_reach(self, who: str, each: int, there: Any, place: Place) -> None:
        guard, side = there[-1]
        why = "runs again in every pass" if self.tasks[guard].loop is not None else "may not run"
        raise PlacedError(
            place,
            f"{who} refers to task {self.tasks[each].id!r}, which belongs to {self._part(guard, side)} and {why}: "
            f"use the value of {self.tasks[guard].id!r}",
        )

    def check_order(self) -> None:
        """No task may wait for itself: the error prints the whole path."""
        path = find_cycle(self.moments())
        if path:
            count = len(self.tasks)
            ids = [self.tasks[moment % count].id for moment in path]
            steps = [id for at, id in enumerate(ids) if at == 0 or id != ids[at - 1]]
            if len(steps) == 1:
                steps *= 2
            raise PlacedError(("tasks", path[0] % count), _cycle_text(steps))

    def check_sleeps(self) -> None:
        """A sleep that nothing waits for would be the longest way to do nothing."""
        used = set(references(self.result))
        for at in range(len(self.tasks)):
            used |= {*self.data_needs(at), *self.after[at], *self.side_needs(at, True), *self.side_needs(at, False)}
        for at, task in enumerate(self.tasks):
            if task.sleep is not None and at not in used:
                raise PlacedError(
                    ("tasks", at),
                    f"nothing uses the sleep {task.id!r}: pass what it gives to a task, or write f(x).after(sleep)",
                )

    def _ids(self, *tasks: int) -> list[str]:
        return [self.tasks[each].id for each in tasks]


def _cycle_text(ids: list[str]) -> str:
    return f"the tasks wait for each other in a cycle: {' → '.join(ids)}. Take one of these steps out"


def find_cycle(waits: list[list[int]]) -> list[int]:
    """A cycle, from its first moment back to it, in the order in which they would have to run; else nothing."""
    state = bytearray(len(waits))
    for root in range(len(waits)):
        if state[root]:
            continue
        stack = [(root, iter(waits[root]))]
        state[root] = 1
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                state[node] = 2
                stack.pop()
            elif state[step] == 1:
                trail = [each for each, _ in stack]
                loop = trail[trail.index(step) :]
                return [step, *reversed(loop)]
            elif not state[step]:
                state[step] = 1
                stack.append((step, iter(waits[step])))
    return []
