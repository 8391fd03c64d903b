"""Plans for tests: written as data, or drawn by Hypothesis; and a world that answers what a plan's execution asks."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.effects import Announce, ArmTimer, CancelAttempt, Close, Effect, Evaluate, StartAttempt, StartChild
from raywf.core.execution import ending, evolve, fold, initial, is_current, outstanding, step, task_at
from raywf.core.failures import Failure
from raywf.core.plan import NodeKind, Plan
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, address_of
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition

BROKEN = Failure("ValueError", "no", attempt=1)


def ref(*ids: str) -> list[dict[str, str]]:
    return [{"$ref": id_} for id_ in ids]


def call(id_: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "function": "app:f", "args": ref(*needs), **more}


def plan_of(*tasks: dict[str, Any], result: Any = None) -> Plan:
    return compile_plan(WorkflowDefinition.model_validate({"id": "w", "tasks": list(tasks), "result": result}))


class _Writer:
    """Writes tasks of random kinds. What a side contains is known only inside of it."""

    def __init__(self, draw: Any, kinds: Iterable[str]) -> None:
        self.draw = draw
        self.kinds = tuple(kinds)
        self.tasks: list[dict[str, Any]] = []
        self.undoable = True
        self.around: set[str] = set()

    def some(self, known: list[str]) -> list[dict[str, str]]:
        if not known:
            return []
        return ref(*self.draw(st.lists(st.sampled_from(known), max_size=3, unique=True)))

    def write(self, known: list[str], depth: int, most: int) -> list[str]:
        """Some tasks that may refer to ``known``; returns their ids."""
        written: list[str] = []
        for _ in range(self.draw(st.integers(1, most))):
            id_ = f"t{len(self.tasks)}"
            kind = self.draw(st.sampled_from(self.kinds))
            task: dict[str, Any] = {"id": id_}
            self.tasks.append(task)
            visible = [*known, *written]
            if kind == "loop" and depth:
                self._loop(task, visible, depth)
            elif kind == "when" and depth:
                self._when(task, visible, depth)
            else:
                self._plain(task, kind, visible)
            ended = [each for each in visible if each not in self.around]
            after = self.draw(st.lists(st.sampled_from(ended), max_size=1)) if ended else []
            if after:
                task["after"] = after
            written.append(id_)
        return written

    def _when(self, task: dict[str, Any], visible: list[str], depth: int) -> None:
        condition = ref(self.draw(st.sampled_from(visible)))[0] if visible else True
        task["when"] = {"op": "==", "left": condition, "right": 1}
        task["result"] = {}
        for side in ("then", "otherwise"):
            if side == "then" or self.draw(st.booleans()):
                task[side] = self.write(visible, depth - 1, 2)
                outer = self.some(visible)
                task["result"][side] = [*ref(*task[side]), *outer]

    def _loop(self, task: dict[str, Any], visible: list[str], depth: int) -> None:
        """Some tasks that may refer to the state, which is the loop's own id inside of it."""
        outside, self.undoable = self.undoable, False
        self.around.add(task["id"])
        body = self.write([*visible, task["id"]], depth - 1, 3)
        self.around.remove(task["id"])
        self.undoable = outside
        until = {"op": "==", "left": ref(self.draw(st.sampled_from(body)))[0], "right": 1}
        task["loop"] = {"initial": self.some(visible), "body": body, "result": ref(*body), "until": until}

    def _plain(self, task: dict[str, Any], kind: str, visible: list[str]) -> None:
        some = self.some(visible)
        match kind:
            case "map":
                task |= {"function": "app:f", "map": [some or [1, 2]]} | self.compensation()
            case "gather":
                task["gather"] = some or [1]
            case "aggregate":
                task["aggregate"] = {"results": some or [1]}
            case "sleep":
                task["sleep"] = {"seconds": 5, "value": some}
            case "signal":
                task["signal"] = {"name": f"s-{task['id']}", "timeout": self.draw(st.sampled_from([None, 9]))}
                if self.draw(st.booleans()):
                    task["signal"]["default"] = 0
            case "approval":
                task["approval"] = {"prompt": "?", "data": some, "timeout": self.draw(st.sampled_from([None, 9]))}
                for name in ("on_reject", "on_timeout"):
                    if self.draw(st.booleans()):
                        task["approval"][name] = 0
            case "child":
                task |= {"workflow": {"id": "kid", "parameters": {"x": {}}, "tasks": []}, "args": [some]}
            case _:
                task |= {"function": "app:f", "args": some} | self.compensation()

    def compensation(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.undoable and self.draw(st.integers(0, 3)) == 0:
            options["compensate"] = "app:undo"
        if self.draw(st.integers(0, 3)) == 0:
            options |= {"effect": "at_most_once", "in_doubt": self.draw(st.sampled_from(["ask", "retry"]))}
        return {"options": options} if options else {}


EVERY_KIND = (
    "call",
    "call",
    "map",
    "when",
    "when",
    "gather",
    "sleep",
    "signal",
    "approval",
    "child",
    "loop",
    "aggregate",
)


@st.composite
def plans(draw: Any, kinds: Iterable[str] = EVERY_KIND, most: int = 6) -> Plan:
    """A plan of up to ``most`` tasks at its top, with sides up to three deep. Chains and diamonds come by themselves."""
    writer = _Writer(draw, kinds)
    top = writer.write([], 3, most)
    return plan_of(*writer.tasks, result=ref(*top))


address = address_of


def answered(state: ExecutionState, event: ev.Event) -> Effect | None:
    """The effect that an event is the answer to: it need not be issued again by reason of this event."""
    match event:
        case ev.AttemptStarted(where, _) if _is_announced(state, where):
            pass
        case ev.AttemptStarted() | ev.ChildStarted() | ev.SignalReceived() | ev.ApprovalDecided():
            return None
        case ev.ExecutionCompleted() | ev.ExecutionFailed() | ev.ExecutionCancelled():
            return Close()
    where = getattr(event, "task", None)
    if where is None:
        return None
    for effect in outstanding(state):
        if not isinstance(effect, Close):
            item = getattr(effect, "item", None)
            if address(state, effect.task, item) == where and isinstance(effect, ArmTimer) == isinstance(
                event, ev.TimerFired
            ):
                return effect
    return None


def _is_announced(state: ExecutionState, where: str) -> bool:
    asked = [effect for effect in outstanding(state) if isinstance(effect, Announce)]
    return any(address(state, effect.task, effect.item) == where for effect in asked)


def recount(state: ExecutionState) -> tuple[int, int, int]:
    """``active``, ``waiting`` and ``left``, counted from the tasks."""
    active = waiting = left = 0
    for node, task in zip(state.plan.nodes, state.tasks, strict=True):
        left += task.status not in (TaskStatus.COMPLETED, TaskStatus.SKIPPED) and node.undoes is None and not node.loops
        for each in (task,) if task.items is None else tuple(task.items):
            decided = node.kind in (NodeKind.WHEN, NodeKind.LOOP) and each.status is TaskStatus.RUNNING
            active += each.status in (TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.RETRYING) and not decided
            waiting += each.status is TaskStatus.WAITING
    return active, waiting, left


class World:
    """Answers effects in any order, and checks every step on the way.

    ``outcome`` gives the event that answers an effect, or None for "not now".
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        self.random = random.Random(seed)
        self.plan = plan
        self.state = initial(plan)
        self.history: list[ev.Event] = []
        self.states = [self.state]
        self.asked: Counter[Effect] = Counter()

    def happen(self, event: ev.Event) -> None:
        before = Counter(outstanding(self.state))
        done = answered(self.state, event)
        if done is not None:
            before[done] -= 1
        after, effects = step(self.state, event)
        assert after == evolve(self.state, event)
        new = Counter(effect for effect in outstanding(after) if before[effect] <= 0)
        issued = Counter(effects)
        if before[Close()] > 0 and after.closed is None:
            new[Close()], issued[Close()] = 0, 0  # the hands close in the same turn, so a repeat would find nobody
        assert +issued == +new, f"{event} issued {effects}, and newly outstanding is {new}"
        self.check(after, effects)
        self.state = after
        self.history.append(event)
        self.states.append(after)
        self.asked.update(effects)

    def check(self, after: ExecutionState, effects: Iterable[Effect]) -> None:
        assert min(after.active, after.waiting, after.left) >= 0
        assert (after.active, after.waiting, after.left) == recount(after)
        if after.closing is not None or after.closed is not None:
            starts = (StartAttempt, Announce, StartChild, Evaluate, ArmTimer)
            for effect in (*effects, *outstanding(after)):
                assert not isinstance(effect, starts) or self.plan.nodes[effect.task].undoes is not None
        if after.undoing and not self.state.undoing:
            for node, task in zip(self.plan.nodes, after.tasks, strict=True):
                places = (task,) if task.items is None else tuple(task.items)
                at_work = [each for each in places if each.status in (TaskStatus.READY, TaskStatus.RUNNING)]
                assert not at_work or node.undoes is not None or node.kind is NodeKind.WHEN

    def crash(self) -> None:
        """The process dies: what is left is the history. Attempts that may have been running are lost."""
        self.state = fold(self.plan, self.history)
        assert self.state == self.states[-1]
        for effect in list(outstanding(self.state)):
            if isinstance(effect, StartAttempt) and is_current(self.state, effect.task, effect.item, effect.attempt):
                lost = task_at(self.state, effect.task, effect.item).lost
                where = address(self.state, effect.task, effect.item)
                self.happen(ev.AttemptLost(where, effect.attempt, "crash", counted=lost < 2))

    def waits(self) -> list[ev.Event]:
        """What a person or another program could do for the tasks that wait for it."""
        found: list[ev.Event] = []
        here = f"#{self.state.round}"  # nobody gives one command twice
        if self.state.pause is not None:
            found.append(ev.ResumeRequested())
        places = [each for task in self.state.tasks for each in ((task,) if task.items is None else task.items)]
        for task in places:
            if task.status is TaskStatus.WAITING:
                match task.wait:
                    case ev.SignalAwaited(where, name):
                        found.append(ev.SignalReceived(name, name.encode(), f"id-{where}{here}"))
                    case ev.AttemptLost(where, attempt):
                        outcome = self.random.choice(("retry", "completed"))
                        found.append(
                            ev.DoubtResolved(where, outcome, where.encode(), "", f"id-{where}-{attempt}{here}")
                        )
                    case ev.ApprovalRequested(where):
                        found.append(ev.ApprovalDecided(where, True, "", f"id-{where}{here}"))
        return found

    def run(self, answer: Callable[[World, Effect], ev.Event | None], *, crashes: float = 0.0) -> ExecutionState:
        """Start, and answer whatever is outstanding, in any order, until the execution has closed."""
        self.happen(ev.ExecutionStarted(b"{}"))
        for _ in range(4000):
            if self.state.closed is not None:
                return self.state
            if self.random.random() < crashes:
                self.crash()
            todo = list(outstanding(self.state))
            self.random.shuffle(todo)
            event = next((found for effect in todo if (found := answer(self, effect)) is not None), None)
            if event is None:
                event = self.random.choice(self.waits())
            self.happen(event)
        raise AssertionError(f"it does not end: {self.state}")


def close_event(state: ExecutionState) -> ev.Event:
    closing = state.closing
    if closing is None:
        return ev.ExecutionCompleted(b"null")
    if closing.status is ExecutionStatus.CANCELLED:
        return ev.ExecutionCancelled(closing.reason)
    found = ending(state)
    assert found is not None
    return found


def fixed(text: str, choices: int) -> int:
    """A choice that depends on the text alone."""
    return zlib.crc32(text.encode()) % choices


def evaluated(state: ExecutionState, task: int, choose: Callable[[str, int], int]) -> ev.Event:
    """What evaluating a task could come to."""
    node, current, where = state.plan.nodes[task], state.tasks[task], address_of(state, task)
    given = dict(node.kwargs)
    due = None if repr(given.get("timeout")) == "Const(value=b'null')" else 9.0
    match node.kind:
        case NodeKind.LOOP if not current.passes or (current.passes < 4 and choose(f"{where}{current.passes}", 3)):
            return ev.PassStarted(where, current.passes + 1, b"1")
        case NodeKind.WHEN if not isinstance(current.wait, ev.BranchTaken):
            return ev.BranchTaken(where, bool(choose(node.id, 2)))
        case NodeKind.SLEEP:
            return ev.TimerStarted(where, 5.0, node.id.encode())
        case NodeKind.SIGNAL:
            return ev.SignalAwaited(where, f"s-{node.id}", due, b"0" if "default" in given else None)
        case NodeKind.APPROVAL:
            on_reject, on_timeout = (b"0" if name in given else None for name in ("on_reject", "on_timeout"))
            return ev.ApprovalRequested(where, "?", node.id.encode(), due, on_reject, on_timeout)
        case NodeKind.CALL | NodeKind.CHILD:
            return ev.MapStarted(where, choose(node.id, 5))
        case _:
            return ev.TaskCompleted(where, current.attempt, node.id.encode())


def answer_at_random(world: World, effect: Effect) -> ev.Event | None:
    """Any answer that the hands could give to an effect, the unlucky ones too."""
    state, chance = world.state, world.random
    if isinstance(effect, Close):
        return close_event(state)
    if isinstance(effect, Evaluate):
        if chance.random() < 0.03:
            return ev.AttemptFailed(address_of(state, effect.task), BROKEN, 1, None)
        return evaluated(state, effect.task, lambda text, choices: chance.randrange(choices))
    where = address(state, effect.task, effect.item)
    current = task_at(state, effect.task, effect.item)
    if isinstance(effect, ArmTimer):
        return ev.TimerFired(where)
    if isinstance(effect, Announce):
        return ev.AttemptStarted(where, effect.attempt)
    if isinstance(effect, StartChild) and current.wait is None:
        return ev.ChildStarted(where, f"x/{where}")
    luck = chance.random()
    if isinstance(effect, CancelAttempt) and luck < 0.6:
        return ev.AttemptCancelled(where, effect.attempt)
    if isinstance(effect, StartAttempt) and current.status is TaskStatus.READY and luck < 0.3:
        return ev.AttemptStarted(where, effect.attempt)
    if luck < 0.5 and current.failures + current.lost < 4:
        retry_at = None if isinstance(effect, StartChild) or chance.random() < 0.2 else 1.0
        if chance.random() < 0.5 and not isinstance(effect, StartChild):
            return ev.AttemptLost(where, effect.attempt, "gone")
        return ev.AttemptFailed(where, BROKEN, effect.attempt, retry_at)
    return ev.TaskCompleted(where, effect.attempt, where.encode())


def answer_as_written(world: World, effect: Effect) -> ev.Event | None:
    """An answer that depends on the task alone: whatever the order, it comes to the same. Some fail twice first."""
    state = world.state
    if isinstance(effect, Close):
        return close_event(state)
    if isinstance(effect, Evaluate):
        return evaluated(state, effect.task, fixed)
    where = address(state, effect.task, effect.item)
    current = task_at(state, effect.task, effect.item)
    if isinstance(effect, ArmTimer):
        sleeps = isinstance(current.wait, ev.TimerStarted)
        return ev.TimerFired(where) if sleeps or current.status is TaskStatus.RETRYING else None
    if isinstance(effect, Announce):
        return ev.AttemptStarted(where, effect.attempt)
    if isinstance(effect, StartChild) and current.wait is None:
        return ev.ChildStarted(where, f"x/{where}")
    if isinstance(effect, StartAttempt) and current.failures < fixed(where, 3):
        return ev.AttemptFailed(where, BROKEN, effect.attempt, 1.0)
    assert not isinstance(effect, CancelAttempt)
    return ev.TaskCompleted(where, effect.attempt, where.encode())


def outline(state: ExecutionState) -> Any:
    """What a state amounts to but for attempts and their numbers."""

    def plain(task: Any) -> Any:
        items = None if task.items is None else [plain(item) for item in task.items]
        return str(task.status), task.value, items

    return str(state.status), [plain(task) for task in state.tasks], state.value
