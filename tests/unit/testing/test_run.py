"""``raywf.testing.run``: what API.md says a workflow means, from end to end, in milliseconds."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

import raywf
import raywf.testing
from raywf.errors import InvalidInput, RaywfError, ValidationFailed, WorkflowCancelled, WorkflowFailed

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


def run(workflow: Any, *args: Any, **more: Any) -> Any:
    return raywf.testing.run(workflow, *args, **more)


def failure(workflow: Any, *args: Any, **more: Any) -> WorkflowFailed:
    with pytest.raises(WorkflowFailed) as caught:
        run(workflow, *args, **more)
    return caught.value


@raywf.task
async def echo(x: Any) -> Any:
    SEEN.append(x)
    return x


@raywf.task
def add(a: Any, b: Any = 1) -> Any:
    SEEN.append((a, b))
    return a + b


@raywf.task
def boom(x: Any = None) -> Any:
    SEEN.append("boom")
    raise ValueError(f"boom {x}")


@raywf.task
async def where(x: Any = None) -> dict[str, Any]:
    here = raywf.current()
    return {"execution": here.execution_id, "task": here.task_id, "key": here.idempotency_key, "attempt": here.attempt}


# fan-out


@raywf.workflow
def in_step(xs: list[int], ys: list[int], whole: list[int]):
    return add.map(xs, ys), add.map([[0], [1]], b=whole)


def test_positional_arguments_of_a_map_go_in_step_and_keywords_go_whole() -> None:
    assert run(in_step, [1, 2, 3], [10, 20, 30], [9, 9]) == ([11, 22, 33], [[0, 9, 9], [1, 9, 9]])


def test_a_map_over_nothing_gives_nothing_and_keeps_going() -> None:
    assert run(in_step, [], [], [5])[0] == []


@raywf.workflow
def unequal(n: int):
    return add.map(double_list(n), [1, 2])


@raywf.task
def double_list(n: int) -> list[int]:
    return [0] * n


def test_lists_of_unequal_lengths_fail_the_task_and_say_which() -> None:
    error = failure(unequal, 3)
    assert (error.task_id, error.failure.type) == ("add", "raywf.errors.InvalidInput")
    assert "unequal lengths (3, 2)" in error.failure.message
    assert SEEN == []
    assert run(unequal, 2) == [1, 2]


@pytest.mark.parametrize("value", ["text", {"a": 1}, 5, None, b"x"])
def test_a_map_over_what_is_no_list_fails_the_task(value: Any) -> None:
    @raywf.workflow
    def over(x: Any):
        return echo.map(echo(x))

    error = failure(over, value)
    assert error.task_id == "echo-2"
    assert "needs a list to map over" in error.failure.message


def test_order_is_kept_whichever_item_ends_first() -> None:
    @raywf.task
    async def late(x: int) -> int:
        await asyncio.sleep(100.0 - x)
        SEEN.append(x)
        return x

    @raywf.workflow
    def ordered():
        return late.map(list(range(50)))

    assert run(ordered) == list(range(50))
    assert list(range(49, -1, -1)) == SEEN


def test_items_know_who_they_are_and_keep_their_key_from_attempt_to_attempt() -> None:
    @raywf.task(retry=raywf.Retry(max_attempts=3))
    async def flaky(x: int) -> str:
        here = raywf.current()
        SEEN.append((here.task_id, here.attempt, here.idempotency_key))
        if here.attempt < 3:
            raise OSError("again")
        return here.task_id

    @raywf.workflow
    def mapped():
        return flaky.map([5, 6])

    assert run(mapped) == ["flaky[0]", "flaky[1]"]
    assert sorted(SEEN) == [(f"flaky[{i}]", n, f"test/flaky[{i}]") for i in (0, 1) for n in (1, 2, 3)]


def test_one_failing_item_fails_the_map_by_its_address() -> None:
    @raywf.task
    def odd(x: int) -> int:
        if x % 2:
            raise ValueError(f"{x} is odd")
        return x

    @raywf.workflow
    def picky():
        return odd.map([0, 2, 3])

    error = failure(picky)
    assert (error.task_id, error.failure.message) == ("odd[2]", "3 is odd")


def test_a_wide_map() -> None:
    @raywf.workflow
    def wide(n: int):
        return echo.map(double_list(n))

    assert run(wide, 3000) == [0] * 3000


# branches


@raywf.workflow
def choose(x: int):
    return raywf.when(
        echo(x) > 10,
        then=lambda: add(x, 100),
        otherwise=lambda: raywf.when(echo(x) < 0, then=lambda: boom(x), otherwise=lambda: add(x, 1)),
    )


def test_only_one_side_runs_and_its_value_is_the_value() -> None:
    assert run(choose, 11) == 111
    assert SEEN == [11, (11, 100)]
    SEEN.clear()
    assert run(choose, 5) == 6
    assert SEEN == [5, 5, (5, 1)]


def test_a_side_that_is_not_there_gives_none_and_a_constant_is_a_value() -> None:
    @raywf.workflow
    def maybe(x: int):
        a = echo(x)
        return raywf.when(a > 0, then=lambda: "big"), raywf.when(a > 0, then=lambda: a, otherwise=lambda: {"small": a})

    assert run(maybe, 1) == ("big", 1)
    assert run(maybe, -1) == (None, {"small": -1})


def test_conditions_are_recorded_and_evaluated_with_the_results() -> None:
    @raywf.workflow
    def logical(x: int):
        a = echo(x)
        return [
            raywf.when((a > 1) & (a < 5), then=lambda: "between"),
            raywf.when((a == 1) | ~(a < 9), then=lambda: "edge"),
            raywf.when(a, then=lambda: "truthy", otherwise=lambda: "falsy"),
        ]

    assert run(logical, 3) == ["between", None, "truthy"]
    assert run(logical, 9) == [None, "edge", "truthy"]
    assert run(logical, 0) == [None, None, "falsy"]


def test_a_condition_that_cannot_be_evaluated_fails_its_when() -> None:
    @raywf.workflow
    def odd():
        return raywf.when(echo("text") > 5, then=lambda: 1)

    error = failure(odd)
    assert (error.task_id, error.failure.type) == ("when", "TypeError")


# order, options, templates, references


def test_gather_gives_a_list_and_after_gives_order_without_data() -> None:
    @raywf.workflow
    def ordered():
        first = echo("first")
        return raywf.gather(first, echo("second").after(first), echo("third").after(first))

    assert run(ordered) == ["first", "second", "third"]
    assert SEEN[0] == "first"


def test_every_task_called_runs_even_if_nobody_reads_it() -> None:
    @raywf.workflow
    def aside():
        echo("unread")
        return 5

    assert (run(aside), SEEN) == (5, ["unread"])


def test_options_of_one_call_are_those_of_that_call() -> None:
    @raywf.workflow
    def optional():
        return where.with_options(id="mine")(), where(), where()

    assert [each["task"] for each in run(optional)] == ["mine", "where", "where-2"]


def test_templates_are_filled_at_run_time() -> None:
    @raywf.workflow
    def text(name: str):
        score = add(0.5, 0.25)
        return f"{name}: {score:.1f} ({score!r}) {echo({'k': [1]})['k'][0]}"

    assert run(text, "tea") == "tea: 0.8 (0.75) 1"


def test_references_follow_items_then_attributes_at_any_depth() -> None:
    @raywf.workflow
    def deep(x: int):
        data = echo({"list": [{"x": 7}], "n": None})
        return {"a": [data["list"][0]["x"], (x, data["n"])], "b": {"c": data}}

    whole = {"list": [{"x": 7}], "n": None}
    assert run(deep, 1) == {"a": [7, (1, None)], "b": {"c": whole}}


def test_a_key_that_is_not_there_fails_the_task_that_reads_it() -> None:
    @raywf.workflow
    def missing():
        return add(echo({"a": 1})["b"])

    error = failure(missing)
    assert (error.task_id, error.failure.type) == ("add", "LookupError")
    assert "neither an item nor an attribute 'b'" in error.failure.message


def test_a_result_that_cannot_be_read_fails_the_execution_and_no_task() -> None:
    @raywf.workflow
    def missing():
        return echo({"a": 1})["b"]

    error = failure(missing)
    assert (error.task_id, error.failure.type) == (None, "LookupError")


# values


@dataclass
class Point:
    x: int


class Doc(BaseModel):
    title: str
    words: list[str] = []


@raywf.task
def spoil(values: list[int]) -> int:
    values.append(99)
    return len(values)


def test_what_a_task_does_to_its_argument_nobody_else_sees() -> None:
    @raywf.workflow
    def shared(xs: list[int]):
        made = echo(xs)
        first = spoil(made)
        return first, echo(made).after(first), made, spoil(xs), xs

    assert run(shared, [1]) == (2, [1], [1], 2, [1])


def test_the_items_of_a_map_do_not_share_either() -> None:
    @raywf.task
    def tag(x: int, into: list[int]) -> list[int]:
        into.append(x)
        return into

    @raywf.workflow
    def mapped():
        return tag.map([1, 2, 3], into=echo([]))

    assert run(mapped) == [[1], [2], [3]]


def test_values_are_what_decoding_their_encoding_gives() -> None:
    def make() -> Any:
        return {"p": Point(1), "s": {1, 2}, "t": (1, b"2"), 3: None}

    @raywf.workflow
    def same():
        return echo(echo({"p": Point(1), "s": {1, 2}, "t": (1, b"2"), 3: None}))

    found = run(same)
    assert found == make()
    assert type(found["p"]) is Point
    assert type(found["t"]) is tuple
    assert SEEN[0] is not SEEN[1]


def test_results_fit_their_annotation_or_fail_the_task() -> None:
    @raywf.task
    def doc(title: Any) -> Doc:
        return {"title": title}  # type: ignore[return-value]

    @raywf.workflow
    def annotated(title: Any):
        made = doc(title)
        return made.title, made

    assert run(annotated, "t") == ("t", Doc(title="t"))
    error = failure(annotated, 5)
    assert error.failure.type == f"raywf.errors.{ValidationFailed.__name__}"
    assert "doc returned {'title': 5}" in error.failure.message


def test_a_result_that_cannot_be_stored_fails_the_task_with_the_way_out() -> None:
    @raywf.task(retry=raywf.Retry(max_attempts=5))
    def generate() -> Any:
        SEEN.append("run")
        return (x for x in "ab")

    @raywf.workflow
    def lazy():
        return generate()

    error = failure(lazy)
    assert (error.task_id, error.failure.retryable, SEEN) == ("generate", False, ["run"])
    assert "return list(...) of it" in error.failure.message


def test_input_is_checked_before_anything_runs() -> None:
    @raywf.workflow
    def typed(n: int, doc: Doc):
        return echo(n), doc.title

    assert run(typed, "5", {"title": "t"}) == (5, "t")
    for args in (("many", Doc(title="t")), (1, {"title": 5}), (1,), (1, Doc(title="t"), 3)):
        with pytest.raises(InvalidInput):
            run(typed, *args)
    assert SEEN == [5]


def test_large_values_travel_too() -> None:
    @raywf.workflow
    def large():
        return echo(echo(b"x" * 300_000)), add.map(["y" * 200_000], b="z")

    blob, text = run(large)
    assert (len(blob), len(text[0])) == (300_000, 200_001)


# children


@raywf.workflow
def child(x: int):
    return where(x), echo(x)


@raywf.workflow
def family(x: int):
    return child(x), child.map([1, 2]), child.with_options(id="named")(x), where()


def test_children_are_named_after_their_parent_and_their_task() -> None:
    one, many, named, own = run(family, 7)
    ids = [one[0]["execution"], *(each[0]["execution"] for each in many), named[0]["execution"], own["execution"]]
    assert ids == ["test/child", "test/child-2[0]", "test/child-2[1]", "test/named", "test"]
    assert one[0]["key"] == "test/child/where"
    assert (one[1], many[1][1]) == (7, 2)


def test_a_child_that_fails_fails_its_task_with_its_failure() -> None:
    @raywf.workflow
    def inner(x: int):
        return boom(x)

    @raywf.workflow
    def outer(x: int):
        return echo(inner(x))

    error = failure(outer, 3)
    assert (error.task_id, error.failure.type, error.failure.message) == ("inner", "ValueError", "boom 3")
    assert SEEN == ["boom"]


def test_children_are_cancelled_with_their_parent() -> None:
    @raywf.task
    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            SEEN.append("cancelled")
            raise

    @raywf.workflow
    def inner():
        return forever(), echo(raywf.sleep(1e6))

    @raywf.workflow
    def outer():
        return inner(), boom().after(raywf.sleep(10))

    assert failure(outer).task_id == "boom"
    assert SEEN == ["boom", "cancelled"]


# failure, retries, timeouts


def test_on_a_failure_running_siblings_are_cancelled_and_nothing_new_starts() -> None:
    @raywf.task
    async def slow(x: int) -> int:
        try:
            await asyncio.sleep(100)
        finally:
            SEEN.append(f"slow {x} ended")
        return x

    @raywf.workflow
    def siblings():
        a = slow(1)
        return add(a), echo(raywf.sleep(500, 1)), boom(raywf.sleep(50)), add(raywf.sleep(60, 1))

    error = failure(siblings)
    assert (error.task_id, error.failure.type, error.failure.attempt) == ("boom", "ValueError", 1)
    assert "raise ValueError" in error.failure.traceback
    assert "raywf/runtime" not in error.failure.traceback
    assert SEEN == ["boom", "slow 1 ended"]


def test_without_a_policy_there_is_one_attempt_and_with_one_the_first_counts() -> None:
    @raywf.workflow
    def tries(n: int):
        return boom.with_options(retry=raywf.Retry(max_attempts=3))() if n == 3 else boom()

    @raywf.workflow
    def thrice():
        return boom.with_options(retry=raywf.Retry(max_attempts=3))()

    @raywf.workflow
    def once():
        return boom()

    assert failure(once).failure.attempt == 1
    assert SEEN == ["boom"]
    SEEN.clear()
    assert failure(thrice).failure.attempt == 3
    assert SEEN == ["boom"] * 3


class Hopeless(ValueError):
    pass


def test_non_retryable_errors_and_those_derived_from_them_are_not_tried_again() -> None:
    @raywf.task(retry=raywf.Retry(max_attempts=9, non_retryable=(ValueError,)))
    def picky(kind: str) -> None:
        SEEN.append(kind)
        raise {"derived": Hopeless, "other": KeyError}[kind]("no")

    @raywf.workflow
    def picked(kind: str):
        return picky(kind)

    assert failure(picked, "derived").failure.retryable is False
    assert failure(picked, "other").failure.retryable is True
    assert (SEEN.count("derived"), SEEN.count("other")) == (1, 9)


def test_the_delays_between_attempts_are_jittered_and_a_seed_repeats_them() -> None:
    @raywf.task(retry=raywf.Retry(max_attempts=5, initial=100.0, backoff=2.0, max_delay=300.0))
    async def flaky() -> None:
        SEEN.append(asyncio.get_running_loop().time())
        raise OSError("no")

    @raywf.workflow
    def retried():
        return flaky()

    def delays(seed: int) -> list[float]:
        SEEN.clear()
        failure(retried, seed=seed)
        return [later - earlier for earlier, later in itertools.pairwise(SEEN)]

    one = delays(1)
    assert all(delay <= limit + 1 for delay, limit in zip(one, (100, 200, 300, 300), strict=True))
    assert delays(1) == pytest.approx(one, abs=1)
    assert delays(2) != pytest.approx(one, abs=1)


def test_a_timeout_is_per_attempt_and_fails_it() -> None:
    @raywf.task(timeout=5, retry=raywf.Retry(max_attempts=2))
    async def hangs() -> str:
        SEEN.append(raywf.current().attempt)
        if raywf.current().attempt == 1:
            await asyncio.sleep(6)
        await asyncio.sleep(4)
        return "in time"

    @raywf.workflow
    def patient(again: bool):
        return hangs() if again else hangs.with_options(retry=raywf.Retry(max_attempts=1))()

    @raywf.workflow
    def impatient():
        return hangs.with_options(retry=raywf.Retry(max_attempts=1))()

    error = failure(impatient)
    assert (error.failure.type, error.task_id) == ("TimeoutError", "hangs")
    assert "hangs ran longer than its timeout of 5 s" in error.failure.message
    SEEN.clear()

    @raywf.workflow
    def twice():
        return hangs()

    assert (run(twice), SEEN) == ("in time", [1, 2])


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_task_that_tries_to_end_the_process_or_itself_only_fails(error: BaseException) -> None:
    @raywf.task
    async def leave() -> None:
        raise error

    @raywf.workflow
    def leaving():
        return leave()

    assert failure(leaving).task_id == "leave"


def test_an_exception_that_cannot_even_be_shown_is_still_a_failure() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        def __reduce__(self) -> Any:
            raise TypeError("no pickle")

    @raywf.task
    def odd() -> None:
        raise Odd(threading.Lock())

    @raywf.workflow
    def shows():
        return odd()

    error = failure(shows)
    assert error.failure.type.endswith("Odd")
    assert "__str__ raised RuntimeError" in error.failure.message


# time, signals, people


def test_sleeps_take_no_time_and_give_their_value_later() -> None:
    @raywf.workflow
    def patient(x: int):
        return raywf.sleep(timedelta(days=365), echo(x)), raywf.sleep(0, "at once"), raywf.sleep(add(1, 2), None)

    assert run(patient, 5) == (5, "at once", None)


@pytest.mark.parametrize("seconds", [-1, "soon", None, float("nan"), True])
def test_a_sleep_that_is_no_number_of_seconds_fails_its_task(seconds: Any) -> None:
    @raywf.workflow
    def odd(x: Any):
        return raywf.sleep(echo(x), 1)

    error = failure(odd, seconds)
    assert error.task_id == "sleep"
    assert "number of seconds" in error.failure.message


@raywf.workflow
def waiting():
    return raywf.wait_signal("go"), raywf.wait_signal("later", timeout=60, default={"none": True})


def test_signals_are_taken_and_a_default_is_given_when_none_comes() -> None:
    assert run(waiting, signals={"go": [1, 2]}) == ([1, 2], {"none": True})
    assert run(waiting, signals={"go": 1, "later": 2}) == (1, 2)


def test_an_execution_that_only_somebody_else_could_move_says_what_it_waits_for() -> None:
    with pytest.raises(RaywfError, match="waits for a signal 'go'"):
        run(waiting)

    @raywf.workflow
    def asks():
        return raywf.approval("Publish?", data=1)

    with pytest.raises(RaywfError, match=r"an approval \(approval\): Publish"):
        run(asks)


@raywf.workflow
def publish(x: int):
    draft = add(x)
    return raywf.approval(f"Publish {draft}?", data=draft, timeout=60), raywf.approval(
        "Sure?", timeout=60, on_reject="no", on_timeout="nobody"
    )


def test_approvals_give_their_data_or_what_was_said_for_rejection_and_timeout() -> None:
    @raywf.workflow
    def asks(x: int):
        return raywf.approval("Sure?", data=x, timeout=60, on_reject="no", on_timeout="nobody")

    assert run(asks, 1, approve=True) == 1
    assert run(asks, 1, approve=False) == "no"
    assert run(asks, 1) == "nobody"


def test_a_rejection_and_a_timeout_fail_the_task_where_nothing_was_said() -> None:
    @raywf.workflow
    def asks(x: int):
        return raywf.approval(f"Publish {add(x)}?", data=x, timeout=60)

    rejected, late = failure(asks, 1, approve=False), failure(asks, 1)
    assert (rejected.failure.type, rejected.task_id) == ("ApprovalRejected", "approval")
    assert "Publish 2? was rejected" in rejected.failure.message
    assert (late.failure.type, late.failure.retryable) == ("TimeoutError", False)


@pytest.mark.parametrize("approve", [True, False])
def test_several_approvals_at_a_time_are_all_answered(approve: bool) -> None:
    if approve:
        assert run(publish, 1, approve=True) == (2, None)
    else:
        assert failure(publish, 1, approve=False).failure.type == "ApprovalRejected"


# the run itself


def test_definitions_as_data_run_too() -> None:
    definition = choose.definition.model_validate_json(choose.definition.model_dump_json(by_alias=True))
    assert run(raywf.WorkflowDefinition.from_json(choose.definition.body), 11) == 111
    assert definition.id == "choose"


def test_runs_know_nothing_of_each_other() -> None:
    @raywf.workflow
    def own():
        return where()["execution"], raywf.wait_signal("s", timeout=1, default="none")

    assert [run(own) for _ in range(3)] == [("test", "none")] * 3
    assert run(own, signals={"s": 1}) == ("test", 1)
    assert run(own) == ("test", "none")


async def test_a_run_inside_of_a_running_loop_says_so_or_works() -> None:
    """In a test that is itself async, the run goes to a thread of its own."""
    assert await asyncio.to_thread(run, choose, 11) == 111


def test_cancelled_is_an_error_of_its_own() -> None:
    assert issubclass(WorkflowCancelled, RaywfError)
    assert not issubclass(WorkflowCancelled, WorkflowFailed)
