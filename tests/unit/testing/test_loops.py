"""``raywf.loop``: a body that runs again until a condition holds."""

from __future__ import annotations

from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.core import events as ev
from raywf.core.execution import evolve, fold, initial, outstanding, step
from raywf.core.plan import NodeKind
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition
from raywf.errors import DefinitionError, WorkflowFailed

SEEN: list[str] = []


@task
def add(number: int, more: int = 1) -> int:
    SEEN.append(raywf.current().task_id)
    return number + more


@task
def improve(draft: dict[str, Any]) -> dict[str, Any]:
    return {"text": draft["text"] + "!", "score": round(draft["score"] + 0.25, 2)}


@task
def grade(number: int) -> float:
    return number / 10


@task
async def flaky(number: int) -> int:
    attempt = raywf.current().attempt
    SEEN.append(f"{raywf.current().task_id}#{attempt}")
    if attempt == 1:
        raise ValueError("not yet")
    return number + 1


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


@workflow
def up_to_three(start: int) -> int:
    return raywf.loop(lambda state: add(state), start, until=lambda state: state >= 3)


def test_a_loop_runs_its_body_until_the_condition_holds_and_gives_the_last_state() -> None:
    assert raywf.testing.run(up_to_three, 0) == 3
    assert SEEN == ["add@1", "add@2", "add@3"]


def test_the_condition_is_tested_after_each_pass_so_the_body_runs_at_least_once() -> None:
    assert raywf.testing.run(up_to_three, 10) == 11


def test_a_task_can_be_the_body_and_until_looks_into_the_state() -> None:
    @workflow
    def polish() -> Any:
        return raywf.loop(improve, {"text": "hi", "score": 0.0}, until=lambda state: state["score"] > 0.5)

    assert raywf.testing.run(polish) == {"text": "hi!!!", "score": 0.75}


def test_a_state_of_several_tasks_is_taken_apart_by_until() -> None:
    @workflow
    def two() -> Any:
        def body(state: Any) -> Any:
            return {"a": add(state["a"]), "b": add(state["b"], more=2)}

        return raywf.loop(body, {"a": 0, "b": 0}, until=lambda state: (state["a"] >= 3) | (state["b"] >= 4))

    assert raywf.testing.run(two) == {"a": 2, "b": 4}


def test_until_may_call_tasks_which_belong_to_the_pass() -> None:
    @workflow
    def graded() -> int:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: grade(state) >= 0.4)

    assert raywf.testing.run(graded) == 4


def test_a_loop_uses_tasks_from_outside_and_waits_for_them() -> None:
    @workflow
    def outside() -> list[int]:
        step = add(4)
        end = raywf.loop(lambda state: add(state, more=step), 0, until=lambda state: state >= 12)
        return [step, end]

    assert raywf.testing.run(outside) == [5, 15]


def test_loops_nest_and_the_inner_one_begins_anew_in_every_pass() -> None:
    @workflow
    def nested() -> int:
        def body(state: int) -> int:
            return raywf.loop(lambda inner: add(inner), state, until=lambda inner: inner >= 2, id="inner")

        return raywf.loop(body, 0, until=lambda state: state >= 4, id="outer")

    assert raywf.testing.run(nested) == 4
    assert SEEN == ["add@1.1", "add@1.2", "add@2.1", "add@3.1"]


def test_a_condition_inside_a_loop_takes_another_side_in_another_pass() -> None:
    @workflow
    def sides() -> int:
        def body(state: int) -> int:
            return raywf.when(state < 2, then=lambda: add(state), otherwise=lambda: add(state, more=10))

        return raywf.loop(body, 0, until=lambda state: state > 5)

    assert raywf.testing.run(sides) == 12
    assert SEEN == ["add@1", "add@2", "add-2@3"]


def test_a_side_may_give_the_state_itself() -> None:
    @workflow
    def kept() -> int:
        def body(state: int) -> int:
            step = add(0)
            return raywf.when(step > 5, then=lambda: add(state), otherwise=lambda: state)

        return raywf.loop(body, 7, until=lambda state: state == 7)

    assert raywf.testing.run(kept) == 7


@workflow
def on_one_side(go: bool) -> Any:
    return raywf.when(
        go == True,  # noqa: E712 - a recorded comparison
        then=lambda: raywf.loop(lambda state: add(state), 0, until=lambda state: state >= 2),
        otherwise=lambda: add(40, more=2),
    )


def test_a_loop_on_a_side_that_is_not_taken_is_skipped_with_its_body() -> None:
    assert raywf.testing.run(on_one_side, True) == 2
    assert raywf.testing.run(on_one_side, False) == 42


def test_a_fan_out_and_a_child_workflow_in_a_loop() -> None:
    @workflow
    def child(number: int) -> int:
        return add(number)

    @workflow
    def wide() -> list[int]:
        def body(state: list[int]) -> list[int]:
            return add.map(child.map(state))

        return raywf.loop(body, [0, 1], until=lambda state: state[0] >= 4)

    assert raywf.testing.run(wide) == [4, 5]
    assert SEEN.count("add@2[1]") == 1


def test_attempts_are_numbered_from_one_in_every_pass() -> None:
    retried = flaky.with_options(retry=raywf.Retry(max_attempts=2))

    @workflow
    def stubborn() -> int:
        return raywf.loop(lambda state: retried(state), 0, until=lambda state: state >= 2)

    assert raywf.testing.run(stubborn) == 2
    assert SEEN == ["flaky@1#1", "flaky@1#2", "flaky@2#1", "flaky@2#2"]


def test_sleeps_signals_and_approvals_in_a_loop() -> None:
    @workflow
    def asked() -> int:
        def body(state: int) -> int:
            later = raywf.sleep(3600, add(state))
            sure = raywf.approval(f"Go on from {later}?", data=later)
            return add(raywf.wait_signal("hurry", timeout=5, default=1), more=sure)

        return raywf.loop(body, 0, until=lambda state: state >= 3)

    assert raywf.testing.run(asked, approve=True) == 4


def test_a_loop_that_does_not_end_fails_with_its_state_and_what_to_do() -> None:
    @workflow
    def endless() -> int:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: state < 0, max_iterations=3)

    with pytest.raises(WorkflowFailed, match=r"made 3 passes .* the state is 3.*raise max_iterations=") as caught:
        raywf.testing.run(endless)
    assert caught.value.failure.type == "raywf.errors.LoopLimit"
    assert caught.value.task_id == "loop"


def test_the_limit_has_a_default_that_a_setting_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    def endless() -> int:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: state < 0)

    with pytest.raises(WorkflowFailed, match="made 1,000 passes"):
        raywf.testing.run(endless)
    monkeypatch.setenv("RAYWF_MAX_ITERATIONS", "7")
    with pytest.raises(WorkflowFailed, match="made 7 passes"):
        raywf.testing.run(endless)


def test_on_limit_last_gives_the_last_state() -> None:
    @workflow
    def enough(most: int) -> int:
        return raywf.loop(
            lambda state: add(state), 0, until=lambda state: state < 0, max_iterations=most, on_limit="last"
        )

    assert raywf.testing.run(enough, 5) == 5


def test_a_limit_that_is_no_limit_fails_the_loop() -> None:
    @workflow
    def odd(most: Any) -> int:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: state > 3, max_iterations=most)

    with pytest.raises(WorkflowFailed, match="max_iterations must be an integer from 1, got 'many'"):
        raywf.testing.run(odd, "many")


def flaw_of(body: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        _ = workflow(body).definition
    return str(caught.value)


def test_what_is_wrong_with_a_loop_is_said_while_it_is_built() -> None:
    def no_condition() -> Any:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: True)

    def no_task() -> Any:
        return raywf.loop(lambda state: state, 0, until=lambda state: state > 1)

    def negative() -> Any:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: state > 1, max_iterations=0)

    def spelled() -> Any:
        return raywf.loop(lambda state: add(state), 0, until=lambda state: state > 1, on_limit="lst")

    def leaks() -> Any:
        found: list[Any] = []
        raywf.loop(lambda state: found.append(add(state)) or found[0], 0, until=lambda state: state > 1)
        return found[0]

    def arity() -> Any:
        return raywf.loop(lambda: add(1), 0, until=lambda state: state > 1)  # type: ignore[misc,arg-type]

    assert "until gave True, which is known while the graph is being built" in flaw_of(no_condition)
    assert "body calls no task" in flaw_of(no_task)
    assert "max_iterations is 0: it counts the passes" in flaw_of(negative)
    assert "Did you mean 'last'" in flaw_of(spelled)
    assert "outside of the body of loop 'loop', where it has another value in every pass" in flaw_of(leaks)
    assert "raywf.loop: body=" in flaw_of(arity)


def undo(result: Any) -> None: ...


def test_a_compensation_in_a_loop_is_refused_because_only_the_last_pass_could_be_undone() -> None:
    def saga() -> Any:
        booked = add.with_options(compensate=undo)
        return raywf.loop(lambda state: booked(state), 0, until=lambda state: state > 1)

    assert "only the last pass could be taken back" in flaw_of(saga)


def test_a_loop_is_data_both_ways_and_is_drawn() -> None:
    definition = up_to_three.definition
    again = WorkflowDefinition.from_yaml(definition.to_yaml())
    assert again == definition
    assert WorkflowDefinition.from_json(definition.to_json()) == definition
    assert definition.dependencies == {"loop": ["add"], "add": ["loop"]}
    assert raywf.testing.run(again, 1) == 3
    drawn = definition.to_mermaid()
    assert "each pass" in drawn
    assert "again" in drawn


WRITTEN = """
id: written
tasks:
  - id: again
    loop:
      initial: 0
      body: [more]
      result: {$ref: more}
      until: {op: ">=", left: {$ref: more}, right: 3}
  - {id: more, function: "tests.unit.testing.test_loops:add", args: [{$ref: again}]}
result: {$ref: again}
"""


def test_a_loop_written_as_yaml_runs() -> None:
    assert raywf.testing.run(WorkflowDefinition.from_yaml(WRITTEN)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("body: [more]", "body: [mre]"), "Did you mean 'more'"),
        (("body: [more]", "body: []"), "has no tasks in its body"),
        (("initial: 0", "initial: 0\n      max_iterations: -1"), "integer from 1"),
        (("initial: 0", "initial: 0\n      on_limit: stop"), "must be one of 'fail', 'last'"),
        (("initial: 0", "inital: 0"), "Did you mean 'initial'"),
        (("result: {$ref: again}\n", "result: {$ref: more}\n"), "runs again in every pass: use the value of 'again'"),
        (("args: [{$ref: again}]", "args: [{$ref: again}], after: [again]"), "in a cycle"),
    ],
)
def test_a_flaw_in_a_written_loop_is_named_with_its_place(change: tuple[str, str], message: str) -> None:
    text = WRITTEN.replace(*change)
    assert text != WRITTEN
    with pytest.raises(DefinitionError, match=message):
        WorkflowDefinition.from_yaml(text)


def test_a_state_that_a_loop_leaves_is_folded_from_its_history() -> None:
    plan = compile_plan(up_to_three.definition)
    assert [node.kind for node in plan.nodes] == [NodeKind.LOOP, NodeKind.CALL]
    history: list[ev.Event] = [ev.ExecutionStarted(b'{"start":0}'), ev.PassStarted("loop", 1, b"0")]
    for number in range(1, 50):
        history.append(ev.TaskCompleted(f"add@{number}", 1, str(number).encode()))
        history.append(ev.PassStarted("loop", number + 1, str(number).encode()))
    state = initial(plan)
    for event in history:
        state, _ = step(state, event)
    assert state == fold(plan, history)
    assert [type(each).__name__ for each in outstanding(state)] == ["StartAttempt"]
    assert state.tasks[0].passes == 50


def test_an_event_of_an_earlier_pass_is_refused() -> None:
    plan = compile_plan(up_to_three.definition)
    state = fold(
        plan,
        [
            ev.ExecutionStarted(b'{"start":0}'),
            ev.PassStarted("loop", 1, b"0"),
            ev.TaskCompleted("add@1", 1, b"1"),
            ev.PassStarted("loop", 2, b"1"),
        ],
    )
    for wrong in (
        ev.TaskCompleted("add@1", 1, b"9"),
        ev.TaskCompleted("add", 1, b"9"),
        ev.PassStarted("loop", 2, b"1"),
    ):
        with pytest.raises(Exception, match=r"pass|running"):
            evolve(state, wrong)


def test_a_cancel_in_the_middle_of_a_pass_ends_the_execution() -> None:
    plan = compile_plan(up_to_three.definition)
    state = fold(plan, [ev.ExecutionStarted(b'{"start":0}'), ev.PassStarted("loop", 1, b"0"), ev.CancelRequested("")])
    state = evolve(state, ev.AttemptCancelled("add@1", 1))
    assert evolve(state, ev.ExecutionCancelled("")).status == "cancelled"
