"""Whether a task of one plan makes the call that a task of another plan made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from raywf.core import bindings as b
from raywf.core.bindings import INPUT, Binding
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import TaskStatus

_DECIDED = {NodeKind.APPROVAL: ("data",), NodeKind.SLEEP: ("value",), NodeKind.SIGNAL: ("name",)}
"""Of a wait that is over, what its result was made of."""

_PENDING_WAIT = {
    NodeKind.APPROVAL: ("prompt", "data", "assignee", "approvers", "required", "escalate_to"),
    NodeKind.SLEEP: ("seconds", "value"),
    NodeKind.SIGNAL: ("name",),
}
_ONLY_BOUNDS = ("max_iterations", "timeout")


class InNewPlan:
    """Where the tasks of an old plan are in a new one: by their ids, as renamed."""

    def __init__(self, old: Plan, new: Plan, rename: Mapping[str, str], drop: Collection[str]) -> None:
        self.old, self.new = old, new
        names = {node.id: rename.get(node.id, node.id) for node in old.nodes if node.undoes is None}
        taken = set(rename.values())
        self.new_of: dict[int, int] = {}
        for before, now in names.items():
            at = new.index.get(now)
            if at is not None and before not in drop and (before in rename or now not in taken):
                self.new_of[old.index[before]] = at
        self.old_of = {new_at: old_at for old_at, new_at in self.new_of.items()}

    def at(self, task: int) -> int:
        """The place in the new plan; one that no task has, where it is gone."""
        return INPUT if task == INPUT else self.new_of.get(task, -2 - task)

    def moved(self, binding: Binding) -> Binding:
        """A binding of the old plan, as it would stand in the new one."""
        match binding:
            case b.Ref(task, path):
                return b.Ref(self.at(task), path)
            case b.Const():
                return binding
            case b.Sequence(items, is_tuple):
                return b.Sequence(tuple(map(self.moved, items)), is_tuple)
            case b.Mapping(items):
                return b.Mapping(tuple((key, self.moved(value)) for key, value in items))
            case b.Template(parts):
                filled = (part if isinstance(part, str) else (self.moved(part[0]), *part[1:]) for part in parts)
                return b.Template(tuple(filled))
            case b.Compare(op, left, right):
                return b.Compare(op, self.moved(left), self.moved(right))
            case b.Logic(op, operands):
                return b.Logic(op, tuple(map(self.moved, operands)))


def renamed_address(address: str, name: str) -> str:
    """An address of a task, or of an item or a pass of it, under another name."""
    head = address.partition("[")[0].partition("@")[0]
    return name + address[len(head) :]


def difference(old: Node, new: Node, places: InNewPlan, status: TaskStatus, parameters: Collection[str]) -> str | None:
    """What of a task's call is another one now, in words. ``parameters`` are those of the workflow with another value."""
    if old.kind is not new.kind:
        return f"it was a {old.kind.value} and is a {new.kind.value}"
    if (old.function and old.function.path) != (new.function and new.function.path) and new.kind is NodeKind.CALL:
        assert old.function is not None and new.function is not None
        return f"it calls {new.function.path} and not {old.function.path}"
    if old.child != new.child:
        return "its child workflow has changed"
    if old.mapped != new.mapped:
        return "it is called for each of many now" if new.mapped else "it is called once now"
    guard = None if old.guard is None else (places.at(old.guard[0]), old.guard[1])
    if guard != new.guard or tuple(map(places.at, old.loops)) != new.loops:
        return "another condition or loop is around it"
    if new.kind is NodeKind.LOOP and (why := _body(old, new, places, status, parameters)) is not None:
        return why
    return _arguments(old, new, places, status, parameters)


def _arguments(old: Node, new: Node, places: InNewPlan, status: TaskStatus, parameters: Collection[str]) -> str | None:
    if old.condition is not None and new.condition is not None and places.moved(old.condition) != new.condition:
        return "its condition has changed" + _gone(old.condition, places)
    pairs = [(f"argument {at + 1}", *each) for at, each in enumerate(_pairs(old.args, new.args))]
    counted = _DECIDED if status is TaskStatus.COMPLETED else _PENDING_WAIT
    was, now = dict(old.kwargs), dict(new.kwargs)
    for name in counted.get(new.kind, [*was, *(each for each in now if each not in was)]):
        bounds = new.kind is not NodeKind.CALL and new.kind is not NodeKind.CHILD and name in _ONLY_BOUNDS
        if not bounds:
            pairs.append((f"its {name}" if new.kind in counted else f"argument {name!r}", was.get(name), now.get(name)))
    for what, before, after in pairs:
        if (None if before is None else places.moved(before)) != after:
            return f"{what} has changed" + ("" if before is None else _gone(before, places))
    given = [each for each in (*new.args, *now.values(), new.condition) if each is not None]
    for task, path in (each for binding in given for each in _refs(binding)):
        if task == INPUT and path and path[0] in parameters:
            return f"parameter {path[0]!r} has another value"
    return None


def _pairs(old: tuple[Binding, ...], new: tuple[Binding, ...]) -> Iterator[tuple[Binding | None, Binding | None]]:
    for at in range(max(len(old), len(new))):
        yield (old[at] if at < len(old) else None), (new[at] if at < len(new) else None)


def _gone(binding: Binding, places: InNewPlan) -> str:
    """Which results that it was made of are gone."""
    gone = [places.old.nodes[task].id for task, _ in _refs(binding) if task != INPUT and task not in places.new_of]
    return f": it used the result of {', '.join(dict.fromkeys(gone))}, which is gone" if gone else ""


def _refs(binding: Binding) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    match binding:
        case b.Ref(task, path):
            yield task, path
        case b.Const():
            return
        case b.Sequence(items, _):
            for item in items:
                yield from _refs(item)
        case b.Mapping(pairs):
            for _, item in pairs:
                yield from _refs(item)
        case b.Template(parts):
            for part in parts:
                if not isinstance(part, str):
                    yield from _refs(part[0])
        case b.Compare(_, left, right):
            yield from _refs(left)
            yield from _refs(right)
        case b.Logic(_, operands):
            for operand in operands:
                yield from _refs(operand)


def _body(old: Node, new: Node, places: InNewPlan, status: TaskStatus, parameters: Collection[str]) -> str | None:
    """A loop that has begun is one call as a whole: it cannot go on in the middle of another one."""
    if {places.at(each) for each in old.body} != set(new.body):
        names = {places.old.nodes[at].id for at in old.body} ^ {places.new.nodes[at].id for at in new.body}
        return f"its body has other tasks: {', '.join(sorted(names))}"
    for at in old.body:
        why = difference(places.old.nodes[at], places.new.nodes[places.at(at)], places, TaskStatus.READY, parameters)
        if why is not None:
            return f"its body has changed: {places.old.nodes[at].id}: {why}"
    if old.result_then is not None and places.moved(old.result_then) != new.result_then:
        return "the state that it gives is another one"
    return None
