"""What a body means when it runs: the same under `raywf.testing` and on Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import task, workflow

Run = Callable[..., Any]


@task
def echo(value: Any) -> Any:
    return value


@task
async def upper(text: str) -> str:
    return text.upper()


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def add(left: int, right: int = 0, bonus: int = 0) -> int:
    return left + right + bonus


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def draft(title: str, score: float) -> dict[str, Any]:
    return {"title": title, "score": score, "items": ["a", "b"]}


@task
def fail(message: str = "broken") -> Any:
    raise RuntimeError(message)


@task
def note(path: str, text: str) -> str:
    with Path(path).open("a") as out:
        out.write(text + "\n")
    return text


@task
async def late(path: str, text: str) -> str:
    await asyncio.sleep(0.15)
    with Path(path).open("a") as out:
        out.write(text + "\n")
    return text


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


@workflow
def child(x: int) -> Any:
    return add(x, 1)


@workflow
def failing_child(x: int) -> Any:
    return fail(f"child {x}")


@workflow
def grandparent(x: int) -> Any:
    return add(parent(x), 100)


@workflow
def parent(x: int) -> Any:
    return add(child(x), 10)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


class Meaning:
    """Each test says one sentence of the contract; the classes below say where it is run."""

    def test_the_result_is_what_the_body_returned_any_structure(self, run: Run) -> None:
        @workflow
        def flow(x: int) -> Any:
            first = echo(x)
            return {"first": first, "rest": [first, 2, {"deep": echo("b")}], "none": None, "input": x}

        assert run(flow, 1) == {"first": 1, "rest": [1, 2, {"deep": "b"}], "none": None, "input": 1}

    def test_a_body_without_a_return_gives_none_and_runs_every_task_called(self, run: Run, tmp_path: Path) -> None:
        @workflow
        def flow(path: str) -> None:
            note(path, "a")
            note(path, "b")

        assert run(flow, str(tmp_path / "n")) is None
        assert sorted(lines(tmp_path / "n")) == ["a", "b"]

    def test_the_execution_completes_when_all_have_ended(self, run: Run, tmp_path: Path) -> None:
        @workflow
        def flow(path: str) -> Any:
            late(path, "late")
            return echo("quick")

        assert run(flow, str(tmp_path / "n")) == "quick"
        assert lines(tmp_path / "n") == ["late"]

    def test_a_body_without_tasks_gives_its_constants(self, run: Run) -> None:
        @workflow
        def flow(x: int) -> Any:
            return [x, "constant"]

        assert run(flow, 5) == [5, "constant"]

    def test_defaults_and_keywords_of_a_workflow(self, run: Run) -> None:
        @workflow
        def flow(x: int, y: int = 5, *, z: int = 7) -> Any:
            return [echo(x), y, z]

        assert run(flow, 1) == [1, 5, 7]
        assert run(flow, 1, y=2, z=3) == [1, 2, 3]
        assert run(flow, x=1) == [1, 5, 7]

    def test_items_names_and_nested_paths_of_a_reference(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            d = draft("t", 0.5)
            return [d["title"], d.title, d["items"][1], d.items, d["score"]]

        got = run(flow)
        assert got[0] == got[1] == "t"
        assert got[2] == "b" and got[4] == 0.5
        assert got[3] == ["a", "b"], "item first, then attribute: `.items` of a dict with that key is the item"

    def test_a_missing_item_fails_the_task_that_asked_for_it(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return echo(draft("t", 0.5)["nothing"])

        with pytest.raises(raywf.WorkflowFailed, match="nothing") as caught:
            run(flow)
        assert caught.value.task_id == "echo"

    def test_a_template_is_filled_at_run_time(self, run: Run) -> None:
        @workflow
        def flow(name: str) -> Any:
            d = draft("title", 0.5)
            return [echo(f"<{name}> {d.title}: {d['score']}"), str(d["title"]), echo(str(name) + "!")]

        assert run(flow, "n") == ["<n> title: 0.5", "title", "n!"]

    def test_map_keeps_order_and_steps_through_its_lists(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            xs = numbers(n)
            return [add.map(xs), add.map(xs, xs), add.map(xs, [10, 20, 30], bonus=100), add.map([1, 2], right=n)]

        assert run(flow, 3) == [[0, 1, 2], [0, 2, 4], [110, 121, 132], [4, 5]]

    def test_map_over_nothing_gives_nothing(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            mapped = add.map(numbers(n))
            return [mapped, total(mapped)]

        assert run(flow, 0) == [[], 0]

    def test_a_keyword_of_map_goes_whole_to_every_call(self, run: Run) -> None:
        @task
        def pair(x: int, all_of_them: list[int]) -> list[Any]:
            return [x, all_of_them]

        @workflow
        def flow(n: int) -> Any:
            xs = numbers(n)
            return pair.map(xs, all_of_them=xs)

        assert run(flow, 2) == [[0, [0, 1]], [1, [0, 1]]]

    def test_unequal_lists_fail_the_task(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            return add.map(numbers(n), [1, 2])

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow, 3)
        assert caught.value.task_id == "add"
        assert "3" in str(caught.value) and "2" in str(caught.value)

    def test_map_over_what_is_no_list_fails_the_task(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return add.map(echo(7))

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow)
        assert caught.value.task_id == "add"

    def test_map_over_a_workflow_gives_children(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            return child.map(numbers(n))

        assert run(flow, 3) == [1, 2, 3]

    def test_a_failing_map_item_is_named(self, run: Run) -> None:
        @task
        def only_even(x: int) -> int:
            if x == 1:
                raise ValueError("odd")
            return x

        @workflow
        def flow() -> Any:
            return only_even.map([0, 1, 2])

        with pytest.raises(raywf.WorkflowFailed, match="odd") as caught:
            run(flow)
        assert caught.value.task_id == "only_even[1]"

    def test_a_map_waits_for_the_whole_map_before(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            return total(add.map(add.map(numbers(n), right=1), right=1))

        assert run(flow, 50) == sum(range(50)) + 100

    def test_gather_gives_a_list_of_results(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return total(raywf.gather(add(1), add(2), add(3)))

        assert run(flow) == 6

    def test_after_is_order_without_data(self, run: Run, tmp_path: Path) -> None:
        @workflow
        def flow(path: str) -> Any:
            first = late(path, "first")
            return note(path, "second").after(first)

        assert run(flow, str(tmp_path / "n")) == "second"
        assert lines(tmp_path / "n") == ["first", "second"]

    def test_after_several(self, run: Run, tmp_path: Path) -> None:
        @workflow
        def flow(path: str) -> Any:
            first, second = late(path, "x"), late(path, "x")
            return note(path, "end").after(first, second)

        run(flow, str(tmp_path / "n"))
        assert lines(tmp_path / "n") == ["x", "x", "end"]

    @pytest.mark.parametrize(("score", "expected"), [(0.5, "low"), (0.9, "high")])
    def test_when_runs_only_one_side(self, run: Run, tmp_path: Path, score: float, expected: str) -> None:
        @workflow
        def flow(path: str, s: float) -> Any:
            d = draft("t", s)
            return raywf.when(d["score"] < 0.7, then=lambda: note(path, "low"), otherwise=lambda: note(path, "high"))

        assert run(flow, str(tmp_path / "n"), score) == expected
        assert lines(tmp_path / "n") == [expected]

    def test_when_without_otherwise_gives_none(self, run: Run) -> None:
        @workflow
        def flow(x: int) -> Any:
            return [raywf.when(echo(x) > 1, then=lambda: echo("more"))]

        assert run(flow, 1) == [None]
        assert run(flow, 2) == ["more"]

    @pytest.mark.parametrize(("x", "expected"), [(0, "zero"), (1, "one"), (5, "many")])
    def test_when_nests_and_takes_references_and_joined_conditions(self, run: Run, x: int, expected: str) -> None:
        @workflow
        def flow(x: int) -> Any:
            return raywf.when(
                echo(x),  # truth of the value itself
                then=lambda: raywf.when(
                    (x > 0) & ~(x >= 2) | (x == -1), then=lambda: echo("one"), otherwise=lambda: echo("many")
                ),
                otherwise=lambda: "zero",
            )

        assert run(flow, x) == expected

    def test_the_value_of_a_when_is_used_downstream(self, run: Run) -> None:
        @workflow
        def flow(x: int) -> Any:
            chosen = raywf.when(echo(x) > 1, then=lambda: [echo("a"), echo("b")], otherwise=lambda: ["none"])
            return upper.map(chosen)

        assert run(flow, 2) == ["A", "B"]
        assert run(flow, 0) == ["NONE"]

    def test_a_condition_that_cannot_be_compared_fails_the_workflow(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return raywf.when(echo("text") < 3, then=lambda: echo(1))

        with pytest.raises(raywf.WorkflowFailed):
            run(flow)

    def test_children_and_grandchildren(self, run: Run) -> None:
        assert run(grandparent, 1) == 112

    def test_the_failure_of_a_child_fails_the_task(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return echo(failing_child(3))

        with pytest.raises(raywf.WorkflowFailed, match="child 3") as caught:
            run(flow)
        assert caught.value.task_id == "failing_child"

    def test_a_sleep_starts_when_its_value_is_there_and_gives_it_later(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return echo(raywf.sleep(0.05, echo("later")))

        assert run(flow) == "later"

    def test_a_signal_that_does_not_come_gives_its_default(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return echo(raywf.wait_signal("go", timeout=0.05, default="alone"))

        assert run(flow) == "alone"

    def test_a_default_of_none_is_a_default(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return [echo(raywf.wait_signal("go", timeout=0.05, default=None))]

        assert run(flow) == [None]

    def test_a_signal_that_does_not_come_fails_the_task_without_a_default(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return echo(raywf.wait_signal("go", timeout=0.05))

        with pytest.raises(raywf.WorkflowFailed, match="go"):
            run(flow)

    def test_an_approval_that_nobody_answers_fails_or_gives_on_timeout(self, run: Run) -> None:
        @workflow
        def with_value() -> Any:
            return echo(raywf.approval("ok?", data=echo(1), timeout=0.05, on_timeout="nobody"))

        @workflow
        def without() -> Any:
            return echo(raywf.approval("ok?", timeout=0.05))

        assert run(with_value) == "nobody"
        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(without)
        assert caught.value.task_id == "approval"

    def test_no_retry_means_one_attempt(self, run: Run, tmp_path: Path) -> None:
        @task
        def once(path: str) -> None:
            note.function(path, "attempt")
            raise RuntimeError("no")

        @workflow
        def flow(path: str) -> Any:
            return once(path)

        with pytest.raises(raywf.WorkflowFailed):
            run(flow, str(tmp_path / "n"))
        assert len(lines(tmp_path / "n")) == 1

    def test_max_attempts_counts_the_first_and_the_key_stays_the_same(self, run: Run, tmp_path: Path) -> None:
        @task(retry=raywf.Retry(max_attempts=3, initial=0.01, max_delay=0.02))
        def twice_bad(path: str) -> Any:
            me = raywf.current()
            with Path(path).open("a") as out:
                out.write(f"{me.attempt} {me.idempotency_key} {me.task_id} {me.execution_id}\n")
            if me.attempt < 3:
                raise RuntimeError("not yet")
            return me.attempt

        @workflow
        def flow(path: str) -> Any:
            return twice_bad(path)

        assert run(flow, str(tmp_path / "n")) == 3
        attempts, keys, tasks, executions = zip(*(line.split(" ") for line in lines(tmp_path / "n")), strict=True)
        assert attempts == ("1", "2", "3")
        assert len(set(keys)) == 1 and len(set(executions)) == 1 and set(tasks) == {"twice_bad"}

    def test_retries_end_at_max_attempts(self, run: Run, tmp_path: Path) -> None:
        @task(retry=raywf.Retry(max_attempts=3, initial=0.01))
        def always_bad(path: str) -> Any:
            note.function(path, "attempt")
            raise RuntimeError("never")

        @workflow
        def flow(path: str) -> Any:
            return always_bad(path)

        with pytest.raises(raywf.WorkflowFailed, match="never") as caught:
            run(flow, str(tmp_path / "n"))
        assert len(lines(tmp_path / "n")) == 3
        assert caught.value.failure.attempt == 3

    def test_a_non_retryable_exception_is_not_tried_again_nor_is_its_subclass(self, run: Run, tmp_path: Path) -> None:
        @task(retry=raywf.Retry(max_attempts=5, initial=0.01, non_retryable=(ValueError,)))
        def bad_value(path: str) -> Any:
            note.function(path, "attempt")
            return "ü".encode("ascii")  # UnicodeEncodeError is a ValueError

        @workflow
        def flow(path: str) -> Any:
            return bad_value(path)

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow, str(tmp_path / "n"))
        assert len(lines(tmp_path / "n")) == 1
        assert caught.value.failure.retryable is False
        assert "UnicodeEncodeError" in caught.value.failure.type

    def test_map_items_have_keys_of_their_own(self, run: Run) -> None:
        @task
        def key(x: int) -> list[str]:
            return [raywf.current().task_id, raywf.current().idempotency_key]

        @workflow
        def flow() -> Any:
            return key.map([0, 1, 2])

        got = run(flow)
        assert [task_id for task_id, _ in got] == ["key[0]", "key[1]", "key[2]"]
        assert len({each for _, each in got}) == 3

    def test_a_timeout_ends_an_attempt(self, run: Run) -> None:
        @task(timeout=0.1)
        async def stuck() -> None:
            await asyncio.sleep(30)

        @workflow
        def flow() -> Any:
            return stuck()

        with pytest.raises(raywf.WorkflowFailed, match=r"0\.1") as caught:
            run(flow)
        assert "imeout" in caught.value.failure.type

    def test_a_timeout_is_per_attempt_and_is_tried_again(self, run: Run) -> None:
        @task(timeout=0.2, retry=raywf.Retry(max_attempts=2, initial=0.01))
        async def slow_at_first() -> int:
            if raywf.current().attempt == 1:
                await asyncio.sleep(30)
            return raywf.current().attempt

        @workflow
        def flow() -> Any:
            return slow_at_first()

        assert run(flow) == 2

    def test_with_options_is_for_one_call(self, run: Run) -> None:
        @task
        async def nap(seconds: float) -> str:
            await asyncio.sleep(seconds)
            return "rested"

        @workflow
        def fine() -> Any:
            return nap(0.1)

        @workflow
        def short() -> Any:
            nap.with_options(timeout=0.05, id="hasty")(30.0)
            return nap(0.01)

        assert run(fine) == "rested"
        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(short)
        assert caught.value.task_id == "hasty"

    def test_current_gives_the_promised_names(self, run: Run) -> None:
        @task
        async def inspect() -> list[Any]:
            me = raywf.current()
            me.heartbeat({"done": 0.5})
            return [me.task_id, me.attempt, bool(me.idempotency_key), bool(me.execution_id), me.deadline]

        @workflow
        def flow() -> Any:
            return inspect()

        assert run(flow)[:4] == ["inspect", 1, True, True]

    def test_current_works_in_sync_tasks_and_what_they_call(self, run: Run) -> None:
        def helper() -> str:
            return raywf.current().task_id

        @task
        def inspect() -> str:
            return helper()

        @workflow
        def flow() -> Any:
            return inspect()

        assert run(flow) == "inspect"

    def test_failure_is_data(self, run: Run) -> None:
        @workflow
        def flow() -> Any:
            return fail("on purpose")

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow)
        error = caught.value
        assert error.task_id == "fail" and error.execution_id
        failure = error.failure
        assert failure.type.endswith("RuntimeError")
        assert failure.message == "on purpose"
        assert "raise RuntimeError" in failure.traceback or "in fail" in failure.traceback
        assert failure.attempt == 1
        assert isinstance(failure.retryable, bool)
        assert "on purpose" in str(error) and "fail" in str(error)

    def test_after_a_final_failure_nothing_new_starts_and_siblings_are_cancelled(
        self, run: Run, tmp_path: Path
    ) -> None:
        @task
        async def forever(path: str) -> None:
            note.function(path, "started")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                note.function(path, "cancelled")
                raise

        @task
        async def soon_bad() -> None:
            await asyncio.sleep(0.1)
            raise RuntimeError("bad")

        @workflow
        def flow(path: str) -> Any:
            forever(path)
            return note(path, "never").after(soon_bad())

        started = time.monotonic()
        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow, str(tmp_path / "n"))
        assert caught.value.task_id == "soon_bad"
        assert time.monotonic() - started < 20
        deadline = time.monotonic() + 10
        while "cancelled" not in lines(tmp_path / "n") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lines(tmp_path / "n") == ["started", "cancelled"]

    def test_a_result_that_cannot_be_encoded_fails_the_task_with_the_type(self, run: Run) -> None:
        @task
        def point() -> Any:
            return Point(1)

        @workflow
        def flow() -> Any:
            return echo(point())

        with pytest.raises(raywf.WorkflowFailed, match="Point") as caught:
            run(flow)
        assert caught.value.task_id == "point"

    def test_a_result_that_does_not_fit_its_annotation_fails_the_task(self, run: Run) -> None:
        @task
        def wrong() -> int:
            return "seven"  # type: ignore[return-value]

        @workflow
        def flow() -> Any:
            return wrong()

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow)
        assert caught.value.task_id == "wrong"

    def test_an_exception_that_cannot_be_pickled_is_told_by_name(self, run: Run) -> None:
        class Awkward(Exception):
            def __init__(self, one: int, two: int) -> None:
                super().__init__(f"awkward {one}")
                self.lock = __import__("threading").Lock()

        @task
        def awkward() -> None:
            raise Awkward(1, 2)

        @workflow
        def flow() -> Any:
            return awkward()

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow)
        assert "Awkward" in caught.value.failure.type
        assert caught.value.failure.message == "awkward 1"
        assert "Awkward" in caught.value.failure.traceback

    def test_an_exception_whose_text_fails_is_still_a_failure(self, run: Run) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        @task
        def mute() -> None:
            raise Mute

        @workflow
        def flow() -> Any:
            return mute()

        with pytest.raises(raywf.WorkflowFailed) as caught:
            run(flow)
        assert "Mute" in caught.value.failure.type

    def test_input_that_does_not_fit_is_refused_naming_the_field(self, run: Run) -> None:
        with pytest.raises(raywf.InvalidInput, match="x"):
            run(child, "seven")

    def test_the_wrong_number_of_arguments_is_refused_naming_the_parameter(self, run: Run) -> None:
        with pytest.raises(raywf.InvalidInput, match="x"):
            run(child)
        with pytest.raises(raywf.InvalidInput):
            run(child, 1, 2)
        with pytest.raises(raywf.InvalidInput, match="y"):
            run(child, 1, y=2)

    def test_a_wide_map(self, run: Run) -> None:
        @workflow
        def flow(n: int) -> Any:
            return total(add.map(numbers(n), right=1))

        assert run(flow, 500) == sum(range(500)) + 500

    def test_tasks_of_one_execution_run_at_the_same_time(self, run: Run) -> None:
        together = []

        @task
        async def meet() -> int:
            together.append(1)
            while len(together) < 3:
                await asyncio.sleep(0.01)
            return len(together)

        @workflow
        def flow() -> Any:
            return raywf.gather(meet(), meet(), meet())

        assert run(flow) == [3, 3, 3]

    def test_a_definition_that_is_a_file_runs(self, run: Run) -> None:
        text = """
id: from-a-file
version: "3"
parameters: {x: {type: integer}}
tasks:
  - {id: a, function: "tests.contract.tasks:double", args: [{$ref: input.x}]}
  - {id: b, function: "tests.contract.tasks:add", args: [{$ref: a}], kwargs: {right: 1}}
result: [{$ref: a}, {$ref: b}]
"""
        definition = raywf.WorkflowDefinition.from_yaml(text)
        assert run(definition, 4) == [8, 9]
        assert run(definition, x=4) == [8, 9]
        assert run(raywf.WorkflowDefinition.from_json(definition.to_json()), 5) == [10, 11]


class TestWithoutRay(Meaning):
    @pytest.fixture
    def run(self) -> Run:
        return raywf.testing.run


@pytest.mark.cluster
class TestOnRay(Meaning):
    @pytest.fixture
    def run(self, engine: raywf.WorkflowEngine) -> Run:
        return engine.run

    def test_a_timeout_ends_an_attempt_of_a_plain_function(self, run: Run) -> None:
        """Not without Ray: there the clock jumps, and a function that blocks takes no time of it."""

        @task(timeout=0.1)
        def stuck() -> None:
            time.sleep(5)

        @workflow
        def flow() -> Any:
            return stuck()

        started = time.monotonic()
        with pytest.raises(raywf.WorkflowFailed, match=r"0\.1") as caught:
            run(flow)
        assert time.monotonic() - started < 4.5, "it is abandoned"
        assert "imeout" in caught.value.failure.type


def test_under_testing_the_clock_jumps() -> None:
    @workflow
    def flow() -> Any:
        slept = raywf.sleep(86_400, echo("a"))
        return echo(raywf.wait_signal("never", timeout=7 * 86_400, default="b")).after(slept)

    started = time.monotonic()
    assert raywf.testing.run(flow) == "b"
    assert time.monotonic() - started < 5


def test_a_map_may_be_a_hundred_thousand_wide_and_not_wider() -> None:
    @workflow
    def flow(n: int) -> Any:
        return add.map(numbers(n))

    with pytest.raises(raywf.WorkflowFailed, match=r"100,?000") as caught:
        raywf.testing.run(flow, 100_001)
    assert caught.value.task_id == "add"
