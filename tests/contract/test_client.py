"""Run: what an engine and a handle promise, on Ray."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pickle
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from tests.contract.conftest import eventually

pytestmark = pytest.mark.cluster

STATUSES = {"pending", "running", "waiting", "paused", "completed", "failed", "cancelled", "compensating"}
TASK_STATUSES = {"pending", "ready", "running", "waiting", "retrying", "completed", "failed", "skipped", "cancelled"}


@task
def double(x: int) -> int:
    return 2 * x


@task
def echo(value: Any) -> Any:
    return value


@task
def fail(message: str) -> Any:
    raise RuntimeError(message)


@task
def process() -> int:
    return os.getpid()


@task
def note(path: str, text: str) -> str:
    with Path(path).open("a") as out:
        out.write(text + "\n")
    return text


@task
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@workflow(version="3")
def doubling(x: int) -> Any:
    return double(x)


@task
def deadline() -> dt.datetime | None:
    return raywf.current().deadline


@workflow
def pair(left: int, right: int = 1) -> Any:
    return [double(left), double(right)]


@workflow
def waiting(name: str) -> Any:
    return echo(raywf.wait_signal("go"))


@workflow
def asking(draft: Any) -> Any:
    return echo(raywf.approval(f"Publish {draft}?", data=draft))


@workflow
def failing(message: str) -> Any:
    return fail(message)


@workflow
def napping(seconds: float) -> Any:
    return nap(seconds)


@workflow
def branching(x: int) -> Any:
    return raywf.when(double(x) > 4, then=lambda: echo("big"), otherwise=lambda: note("/dev/null", "small"))


def test_run_submits_and_waits(engine: raywf.WorkflowEngine) -> None:
    assert engine.run(doubling, 4) == 8
    assert engine.run(pair, 1, right=2) == [2, 4]


def test_submit_gives_a_handle_whose_status_is_a_string(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(doubling, 4)
    assert isinstance(handle.id, str) and handle.id
    assert handle.status() in STATUSES
    assert handle.result(timeout=20) == 8
    assert handle.result() == 8, "again"
    assert handle.status() == "completed" and type(handle.status()) is str


def test_a_result_that_takes_longer_is_a_result_timeout(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(waiting, "a")
    started = time.monotonic()
    with pytest.raises(raywf.ResultTimeout, match=re.escape(handle.id)):
        handle.result(timeout=0.2)
    assert time.monotonic() - started < 5
    with pytest.raises(raywf.ResultTimeout):
        handle.result(timeout=0)
    handle.signal("go", 1)
    assert handle.result(timeout=20) == 1


def test_describe_is_an_execution_description(engine: raywf.WorkflowEngine) -> None:
    before = dt.datetime.now(dt.UTC)
    handle = engine.submit(doubling, 4, tags={"team": "red"})
    handle.result(timeout=20)
    found = handle.describe()
    assert type(found).__name__ == "ExecutionDescription"
    assert (found.id, found.workflow, found.version, found.status) == (handle.id, "doubling", "3", "completed")
    assert before - dt.timedelta(seconds=2) < found.started_at <= found.ended_at
    assert found.started_at.utcoffset() == dt.timedelta(0)
    assert found.parent is None
    assert found.tags == {"team": "red"}
    assert found.results["double"] == 8
    tasks = {each.id: each for each in found.tasks} if isinstance(found.tasks, list | tuple) else found.tasks
    assert set(tasks) == {"double"}
    assert tasks["double"].status == "completed"
    assert not found.waiting_for
    for field in ("context", "metrics"):
        assert hasattr(found, field)


def test_task_statuses_are_those_of_the_contract(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(branching, 5)
    handle.result(timeout=20)
    tasks = handle.describe().tasks
    found = {each.id: each.status for each in (tasks.values() if isinstance(tasks, dict) else tasks)}
    assert found["echo"] == "completed" and found["note"] == "skipped"
    assert set(found.values()) <= TASK_STATUSES


def test_describe_says_what_an_execution_waits_for(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(waiting, "a")
    eventually(lambda: handle.status() == "waiting")
    found = handle.describe()
    assert found.ended_at is None
    assert "go" in str(found.waiting_for)
    handle.cancel()


def test_history_is_a_list_of_events(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(doubling, 4)
    handle.result(timeout=20)
    history = handle.history()
    assert isinstance(history, list)
    assert {type(each).__name__ for each in history} == {"HistoryEvent"}
    assert [each.seq for each in history] == sorted({each.seq for each in history})
    for each in history:
        assert each.at.tzinfo is not None and each.kind and isinstance(each.kind, str)
        assert hasattr(each, "task") and hasattr(each, "data")
    assert "double" in {each.task for each in history}


def test_a_graph_is_mermaid_with_live_states(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(branching, 1)
    handle.result(timeout=20)
    drawing = handle.graph()
    assert drawing.startswith(("graph", "flowchart"))
    assert "double" in drawing and "completed" in drawing and "skipped" in drawing


def test_a_failed_execution_raises_workflow_failed_each_time(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(failing, "broken")
    for _ in range(2):
        with pytest.raises(raywf.WorkflowFailed, match="broken") as caught:
            handle.result(timeout=20)
        assert (caught.value.execution_id, caught.value.task_id) == (handle.id, "fail")
    assert handle.status() == "failed"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.execution_id, copy.task_id, copy.failure) == (handle.id, "fail", caught.value.failure)
    assert str(copy) == str(caught.value)


# -- ids, tags, options ----------------------------------------------------------------------------------------------


def test_the_same_id_with_the_same_arguments_is_the_same_execution(engine: raywf.WorkflowEngine) -> None:
    first = engine.submit(pair, 1, execution_id="same-1")
    again = engine.submit(pair, left=1, right=1, execution_id="same-1", tags={"other": "tag"}, priority=5)
    assert first.id == again.id == "same-1"
    assert first.result(timeout=20) == again.result(timeout=20) == [2, 2]
    assert engine.run(pair, 1, execution_id="same-1") == [2, 2], "also when it has ended"
    assert len([each for each in first.history() if each.task == "double" and "complet" in each.kind]) <= 1


def test_another_version_of_the_workflow_does_not_count(engine: raywf.WorkflowEngine) -> None:
    def build(version: str) -> Any:
        @workflow(version=version)
        def versioned(x: int) -> Any:
            return double(x)

        return versioned

    first = engine.submit(build("1"), 1, execution_id="same-2")
    assert engine.submit(build("2"), 1, execution_id="same-2").id == first.id


@pytest.mark.parametrize("other", ["arguments", "workflow"])
def test_the_same_id_for_something_else_already_exists(engine: raywf.WorkflowEngine, other: str) -> None:
    engine.submit(doubling, 1, execution_id=f"taken-{other}")
    with pytest.raises(raywf.AlreadyExists, match=f"taken-{other}"):
        if other == "arguments":
            engine.submit(doubling, 2, execution_id=f"taken-{other}")
        else:
            engine.submit(napping, 1, execution_id=f"taken-{other}")


def test_many_threads_submitting_one_id_get_one_execution(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    @workflow
    def noting(path: str) -> Any:
        return note(path, "once")

    results: list[Any] = []

    def submit() -> None:
        results.append(engine.run(noting, str(tmp_path / "n"), execution_id="raced"))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == ["once"] * 8
    assert (tmp_path / "n").read_text() == "once\n"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"execution_id": ""}, "execution_id"),
        ({"execution_id": 7}, "execution_id"),
        ({"priority": "high"}, "priority"),
        ({"deadline": dt.datetime(2030, 1, 1)}, "deadline"),  # noqa: DTZ001
        ({"deadline": 5}, "deadline"),
        ({"tags": ["a"]}, "tags"),
        ({"isolation": "moon"}, "isolation"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_senseless_options_are_refused_by_name(
    engine: raywf.WorkflowEngine, options: dict[str, Any], named: str
) -> None:
    with pytest.raises((raywf.InvalidInput, TypeError, ValueError), match=named):
        engine.submit(doubling, 1, **options)


@pytest.mark.parametrize("name", ["execution_id", "priority", "deadline", "tags", "isolation"])
def test_option_names_are_reserved(engine: raywf.WorkflowEngine, name: str) -> None:
    scope: dict[str, Any] = {"echo": echo}
    exec(f"def reserved({name}):\n    return echo({name})\n", scope)
    with pytest.raises(raywf.DefinitionError, match=name):
        engine.submit(workflow(scope["reserved"]), **{name: None})


def test_an_unknown_keyword_is_refused_by_name(engine: raywf.WorkflowEngine) -> None:
    with pytest.raises(raywf.InvalidInput, match="tag"):
        engine.submit(doubling, 1, tag={"a": "b"})


@pytest.mark.parametrize("kind", ["timedelta", "datetime"])
def test_a_deadline_ends_an_execution(engine: raywf.WorkflowEngine, kind: str) -> None:
    soon = dt.timedelta(seconds=0.6)
    handle = engine.submit(waiting, "a", deadline=soon if kind == "timedelta" else dt.datetime.now(dt.UTC) + soon)
    with pytest.raises((raywf.WorkflowFailed, raywf.WorkflowCancelled), match="deadline"):
        handle.result(timeout=20)
    assert handle.status() in ("failed", "cancelled")


def test_a_deadline_is_told_to_the_task_and_to_those_of_children(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def below() -> Any:
        return deadline()

    @workflow
    def above() -> Any:
        return [deadline(), below()]

    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert engine.run(above, deadline=until) == [until, until]
    assert engine.run(above) == [None, None]


def test_larger_priority_first(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    """More Ray tasks than there are cores, submitted in one go behind two that block: the urgent one is not the last."""

    @task(num_cpus=1)
    def work(path: str, text: str) -> str:
        time.sleep(0.15)
        with Path(path).open("a") as out:
            out.write(text + "\n")
        return text

    @workflow
    def working(path: str, text: str) -> Any:
        return work(path, text)

    path = str(tmp_path / "n")
    usual = engine.submit_many(working, [(path, "usual") for _ in range(24)])
    urgent = engine.submit(working, path, "urgent", priority=10)
    urgent.result(timeout=30)
    for each in usual:
        each.result(timeout=30)
    order = Path(path).read_text().splitlines()
    assert order.index("urgent") < 20, order


def test_isolation_process_is_an_actor_of_its_own(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return process()

    shared = {engine.run(flow), engine.run(flow)}
    alone = engine.run(flow, isolation="process")
    assert alone not in shared
    assert os.getpid() not in shared | {alone}


def test_a_merge_with_a_quorum_does_not_wait_for_the_slowest_and_stops_it(
    engine: raywf.WorkflowEngine, tmp_path: Path
) -> None:
    @task(num_cpus=0.1)
    def on_ray(path: str, seconds: float) -> str:
        time.sleep(seconds)
        Path(path).write_text("it went on")
        return "slow"

    @workflow
    def slowly(path: str) -> str:
        return on_ray(path, 60)

    @workflow
    def panel(folder: str) -> Any:
        asked = [echo("quick"), echo("quick"), on_ray(f"{folder}/task", 60), slowly(f"{folder}/child")]
        merged = raywf.aggregate([*asked, raywf.wait_signal("vote")], quorum=2, strategy="majority")
        return merged.value

    start = time.monotonic()
    handle = engine.submit(panel, str(tmp_path))
    assert handle.result(timeout=40) == "quick"
    assert time.monotonic() - start < 30, "the losers were waited for"
    tasks = {name: each.status for name, each in handle.describe().tasks.items()}
    assert tasks["on_ray"] == tasks["slowly"] == tasks["wait_signal"] == "cancelled"
    assert engine.get(f"{handle.id}/slowly").status() == "cancelled"
    assert list(tmp_path.iterdir()) == []


def test_tasks_run_where_runs_on_says(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return [process(), process.with_options(runs_on="ray")(), process.with_options(num_cpus=1)()]

    actor, ray_task, implied = engine.run(flow)
    assert actor not in (ray_task, implied)
    assert os.getpid() not in (actor, ray_task, implied)


def test_what_ray_cannot_place_waits_and_can_be_cancelled(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return process.with_options(resources={"moon": 1})()

    handle = engine.submit(flow)
    with pytest.raises(raywf.ResultTimeout):
        handle.result(timeout=0.5)
    handle.cancel("no moon here")
    with pytest.raises(raywf.WorkflowCancelled):
        handle.result(timeout=20)


# -- get and list ----------------------------------------------------------------------------------------------------


def test_get_gives_the_same_execution_and_not_found_names_the_id(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(doubling, 4)
    assert engine.get(handle.id).result(timeout=20) == 8
    with pytest.raises(raywf.NotFound, match="no-such-id"):
        engine.get("no-such-id")


def test_list_filters_by_status_workflow_and_tags(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def listed(x: int) -> Any:
        return double(x)

    first = engine.submit(listed, 1, tags={"colour": "red", "size": "s"})
    second = engine.submit(listed, 2, tags={"colour": "blue"})
    third = engine.submit(waiting, "a", tags={"colour": "red"})
    first.result(timeout=20), second.result(timeout=20)
    eventually(lambda: third.status() == "waiting")

    def listing(**filters: Any) -> set[str]:
        return {each.id for each in engine.list(**filters)}

    assert listing(workflow="listed") == {first.id, second.id}
    assert listing(workflow="listed", tags={"colour": "red"}) == {first.id}
    assert listing(tags={"colour": "red"}) == {first.id, third.id}
    assert third.id in listing(status="waiting") and first.id not in listing(status="waiting")
    assert listing(status="completed", workflow="listed", tags={"colour": "blue"}) == {second.id}
    assert listing(workflow="nothing") == set()
    third.cancel()


def test_list_gives_pages(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def paged(x: int) -> Any:
        return double(x)

    wanted = {each.id for each in engine.submit_many(paged, range(7))}
    seen: list[str] = []
    after = None
    for _ in range(10):
        page = list(engine.list(workflow="paged", limit=3, after=after))
        assert len(page) <= 3
        if not page:
            break
        seen += [each.id for each in page]
        after = page[-1].id
    assert sorted(seen) == sorted(wanted), "each once"


def test_an_unknown_status_to_list_is_refused(engine: raywf.WorkflowEngine) -> None:
    with pytest.raises((raywf.InvalidInput, ValueError), match="runing"):
        list(engine.list(status="runing"))


# -- map and submit_many ---------------------------------------------------------------------------------------------


def test_map_is_an_iterator_in_order(engine: raywf.WorkflowEngine) -> None:
    results = engine.map(doubling, range(30), max_in_flight=4)
    assert iter(results) is iter(results)
    assert list(results) == [2 * n for n in range(30)]


def test_map_takes_an_endless_iterator_and_reads_it_as_it_goes(engine: raywf.WorkflowEngine) -> None:
    read = []

    def endless() -> Any:
        n = 0
        while True:
            read.append(n)
            yield n
            n += 1

    results = engine.map(doubling, endless(), max_in_flight=5)
    assert [next(results) for _ in range(10)] == [2 * n for n in range(10)]
    assert len(read) <= 10 + 2 * 5 + 1
    results.close()


def test_map_raises_or_returns_exceptions(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def picky(x: int) -> Any:
        return raywf.when(double(x) == 4, then=lambda: fail("two"), otherwise=lambda: double(x))

    results = engine.map(picky, [1, 2, 3])
    assert next(results) == 2
    with pytest.raises(raywf.WorkflowFailed, match="two"):
        next(results)
    first, second, third = engine.map(picky, [1, 2, 3], return_exceptions=True)
    assert (first, third) == (2, 6)
    assert isinstance(second, raywf.WorkflowFailed)


def test_one_value_stands_for_the_arguments(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def single(value: Any) -> Any:
        return echo(value)

    assert list(engine.map(single, [[1, 2], {"value": 1}, (3,)])) == [[1, 2], {"value": 1}, (3,)]
    assert list(engine.map(pair, [(1, 2), [3], {"left": 4, "right": 5}])) == [[2, 4], [6, 2], [8, 10]]
    assert [each.result(timeout=20) for each in engine.submit_many(pair, [(1, 2), {"left": 1}])] == [[2, 4], [2, 2]]


def test_a_bare_value_for_several_parameters_is_invalid_input_with_its_index(engine: raywf.WorkflowEngine) -> None:
    with pytest.raises(raywf.InvalidInput) as caught:
        engine.submit_many(pair, [(1, 2), 3])
    assert caught.value.index == 1


def test_submit_many_checks_all_inputs_first_and_stores_nothing(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def checked(x: int) -> Any:
        return double(x)

    with pytest.raises(raywf.InvalidInput, match="x") as caught:
        engine.submit_many(checked, [1, 2, "three", 4])
    assert caught.value.index == 2
    assert "2" in str(caught.value)
    assert list(engine.list(workflow="checked")) == []
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.index == 2 and str(copy) == str(caught.value)


def test_invalid_input_of_one_submit_stores_nothing(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def unstored(x: int) -> Any:
        return double(x)

    with pytest.raises(raywf.InvalidInput, match="x"):
        engine.submit(unstored, "three", execution_id="unstored-1")
    with pytest.raises(raywf.NotFound):
        engine.get("unstored-1")


def test_submit_many_gives_handles_in_order_with_the_ids_given(engine: raywf.WorkflowEngine) -> None:
    handles = engine.submit_many(doubling, [1, 2, 3], execution_ids=["m-1", "m-2", "m-3"])
    assert [each.id for each in handles] == ["m-1", "m-2", "m-3"]
    assert [each.result(timeout=20) for each in handles] == [2, 4, 6]
    again = engine.submit_many(doubling, [1, 2, 3], execution_ids=["m-1", "m-2", "m-3"])
    assert [each.result(timeout=20) for each in again] == [2, 4, 6]


def test_submit_many_where_one_id_is_taken_stores_nothing(engine: raywf.WorkflowEngine) -> None:
    engine.submit(doubling, 1, execution_id="t-2")
    with pytest.raises(raywf.AlreadyExists, match="t-2"):
        engine.submit_many(doubling, [1, 2, 3], execution_ids=["t-1", "t-2", "t-3"])
    for unborn in ("t-1", "t-3"):
        with pytest.raises(raywf.NotFound):
            engine.get(unborn)


@pytest.mark.parametrize("ids", [["a-1"], ["a-1", "a-1"]], ids=["too-few", "twice"])
def test_execution_ids_that_do_not_fit_are_refused(engine: raywf.WorkflowEngine, ids: list[str]) -> None:
    with pytest.raises((raywf.InvalidInput, raywf.AlreadyExists, ValueError)):
        engine.submit_many(doubling, [1, 2], execution_ids=ids)
    with pytest.raises(raywf.NotFound):
        engine.get("a-1")


def test_submit_many_of_nothing(engine: raywf.WorkflowEngine) -> None:
    assert engine.submit_many(doubling, []) == []
    assert list(engine.map(doubling, [])) == []


def test_a_generator_of_inputs(engine: raywf.WorkflowEngine) -> None:
    assert [h.result(timeout=20) for h in engine.submit_many(doubling, (n for n in range(3)))] == [0, 2, 4]


def test_what_is_no_workflow_is_refused(engine: raywf.WorkflowEngine) -> None:
    for wrong in (double, echo.function, None):
        with pytest.raises((raywf.DefinitionError, raywf.InvalidInput, TypeError)):
            engine.submit(wrong, 1)


def test_a_name_that_nobody_deployed_is_not_found(engine: raywf.WorkflowEngine) -> None:
    with pytest.raises(raywf.NotFound, match="no-such-workflow"):
        engine.submit("no-such-workflow", 1)


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_returns_at_once_and_the_result_says_why(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(waiting, "a")
    assert handle.cancel(reason="not needed") is True, "asked for"
    with pytest.raises(raywf.WorkflowCancelled, match="not needed"):
        handle.result(timeout=20)
    assert handle.status() == "cancelled"


def test_cancel_of_a_closed_execution_is_a_no_op(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(doubling, 1)
    handle.result(timeout=20)
    events = len(handle.history())
    assert handle.cancel() is False
    assert handle.cancel("again") is False
    assert handle.status() == "completed" and handle.result() == 2
    assert len(handle.history()) == events


def test_cancel_ends_async_tasks_and_children(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    @task
    async def forever(path: str) -> None:
        note.function(path, "started")
        try:
            await asyncio.sleep(60)
        finally:
            note.function(path, "ended")

    @workflow
    def below(path: str) -> Any:
        return forever(path)

    @workflow
    def above(path: str) -> Any:
        return below(path)

    path = tmp_path / "n"
    handle = engine.submit(above, str(path))
    eventually(path.exists)
    child = engine.get(f"{handle.id}/below")
    handle.cancel("enough")
    with pytest.raises(raywf.WorkflowCancelled):
        handle.result(timeout=20)
    eventually(lambda: child.status() == "cancelled")
    eventually(lambda: path.read_text().splitlines() == ["started", "ended"])


def test_cancel_ends_ray_tasks(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    @task(num_cpus=1)
    def forever(path: str) -> None:
        note.function(path, "started")
        time.sleep(30)
        note.function(path, "not cancelled")

    @workflow
    def flow(path: str) -> Any:
        return forever(path)

    path = tmp_path / "n"
    handle = engine.submit(flow, str(path))
    eventually(path.exists)
    started = time.monotonic()
    handle.cancel()
    with pytest.raises(raywf.WorkflowCancelled):
        handle.result(timeout=20)
    assert time.monotonic() - started < 15
    assert engine.run(doubling, 1) == 2


def test_a_timeout_ends_a_ray_task(engine: raywf.WorkflowEngine) -> None:
    @task(num_cpus=1, timeout=0.5)
    def forever() -> None:
        time.sleep(20)

    @workflow
    def flow() -> Any:
        return forever()

    started = time.monotonic()
    with pytest.raises(raywf.WorkflowFailed, match=r"0\.5"):
        engine.run(flow)
    assert time.monotonic() - started < 10


# -- children --------------------------------------------------------------------------------------------------------


def test_a_child_is_an_execution_of_its_own_with_its_parents_options(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def below(x: int) -> Any:
        return double(x)

    @workflow
    def above(x: int) -> Any:
        return [below(x), below.map([1, 2])]

    handle = engine.submit(above, 3, tags={"family": "one"}, priority=3)
    assert handle.result(timeout=20) == [6, [2, 4]]
    child = engine.get(f"{handle.id}/below")
    assert child.result(timeout=20) == 6
    found = child.describe()
    assert found.parent == handle.id
    assert found.tags == {"family": "one"}
    assert found.workflow == "below"
    assert engine.get(f"{handle.id}/below-2[1]").result(timeout=20) == 4
    family = {each.id for each in engine.list(tags={"family": "one"})}
    assert {handle.id, child.id} <= family


def test_depth_ends_at_a_hundred(engine: raywf.WorkflowEngine) -> None:
    scope: dict[str, Any] = {"workflow": workflow, "echo": echo}
    exec("@workflow\ndef w0():\n    return echo('bottom')\n", scope)
    for n in range(1, 103):
        exec(f"@workflow\ndef w{n}():\n    return w{n - 1}()\n", scope)
    assert engine.run(scope["w20"]) == "bottom"
    with pytest.raises((raywf.WorkflowFailed, raywf.DefinitionError), match="100"):
        engine.run(scope["w102"])


# -- signals and approvals -------------------------------------------------------------------------------------------


def test_signals_are_kept_in_order_from_the_start_and_each_taken_once(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        first = raywf.wait_signal("go")
        second = raywf.wait_signal("go").after(first)
        return [first, second, raywf.wait_signal("other")]

    handle = engine.submit(flow)
    handle.signal("go", 1)
    handle.signal("go", 2)
    handle.signal("other", {"a": (1, 2)})
    assert handle.result(timeout=20) == [1, 2, {"a": (1, 2)}]


def test_a_signal_sent_twice_with_one_id_counts_once(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        first = raywf.wait_signal("go")
        return [first, raywf.wait_signal("go", timeout=1.0, default="none").after(first)]

    handle = engine.submit(flow)
    handle.signal("go", 1, id="s-1")
    handle.signal("go", 1, id="s-1")
    assert handle.result(timeout=20) == [1, "none"]


def test_a_signal_before_the_wait_is_not_lost(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return raywf.wait_signal("go").after(nap(0.3))

    handle = engine.submit(flow)
    handle.signal("go", "early")
    assert handle.result(timeout=20) == "early"


def test_a_signal_without_payload(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(waiting, "a")
    handle.signal("go")
    assert handle.result(timeout=20) is None


def test_a_signal_that_does_not_fit_the_schema_is_refused(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return raywf.wait_signal("amount", schema=int)

    handle = engine.submit(flow)
    eventually(lambda: handle.status() == "waiting")
    with pytest.raises(raywf.InvalidInput, match="amount"):
        handle.signal("amount", "many")
    assert handle.status() == "waiting", "nothing was taken"
    handle.signal("amount", 7)
    assert handle.result(timeout=20) == 7


def test_a_signal_to_a_closed_execution_is_refused(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(doubling, 1)
    handle.result(timeout=20)
    with pytest.raises(raywf.ExecutionClosed, match=re.escape(handle.id)):
        handle.signal("go", 1)
    with pytest.raises(raywf.ExecutionClosed):
        handle.approve(by="a")
    with pytest.raises(raywf.ExecutionClosed):
        handle.reject(by="a")


def test_an_approval_gives_its_data(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(asking, {"title": "t"})
    eventually(lambda: handle.status() == "waiting")
    assert "Publish" in str(handle.describe().waiting_for)
    handle.approve(by="reviewer", comment="well done")
    assert handle.result(timeout=20) == {"title": "t"}
    told = str(handle.history())
    assert "reviewer" in told and "well done" in told


def test_an_approval_without_data_gives_none(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return raywf.approval("ok?")

    handle = engine.submit(flow)
    eventually(lambda: handle.status() == "waiting")
    handle.approve(by="a")
    assert handle.result(timeout=20) is None


def test_a_rejection_fails_the_task_and_says_why(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(asking, "d")
    eventually(lambda: handle.status() == "waiting")
    handle.reject(by="reviewer", comment="too long")
    with pytest.raises(raywf.WorkflowFailed, match="too long") as caught:
        handle.result(timeout=20)
    assert caught.value.task_id == "approval"
    assert "reviewer" in str(handle.history())


def test_a_rejection_gives_a_value_where_one_is_given(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return echo(raywf.approval("ok?", on_reject="rejected"))

    handle = engine.submit(flow)
    eventually(lambda: handle.status() == "waiting")
    handle.reject(by="a")
    assert handle.result(timeout=20) == "rejected"


def test_task_chooses_among_several_approvals(engine: raywf.WorkflowEngine) -> None:
    @workflow
    def flow() -> Any:
        return [raywf.approval("one?", data=1), raywf.approval("two?", data=2, on_reject="no")]

    handle = engine.submit(flow)
    eventually(lambda: handle.status() == "waiting")
    with pytest.raises(raywf.RaywfError, match="approval-2"):
        handle.approve(by="a")  # which one?
    handle.reject(by="a", task="approval-2")
    handle.approve(by="a", task="approval")
    assert handle.result(timeout=20) == [1, "no"]


def test_an_answer_for_a_task_that_does_not_exist_is_refused(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(asking, "d")
    eventually(lambda: handle.status() == "waiting")
    with pytest.raises(raywf.RaywfError, match="nothing"):
        handle.approve(by="a", task="nothing")
    handle.cancel()


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.kill
@pytest.mark.parametrize("how", ["exit", "segfault"])
def test_a_ray_task_that_takes_its_process_along_is_worker_lost(
    engine: raywf.WorkflowEngine, tmp_path: Path, how: str
) -> None:
    @task(num_cpus=1)
    def deadly(path: str) -> None:
        note.function(path, "attempt")
        if how == "exit":
            os._exit(3)
        import ctypes

        ctypes.string_at(0)

    @workflow
    def flow(path: str) -> Any:
        return deadly(path)

    neighbour = engine.submit(napping, 0.5)
    handle = engine.submit(flow, str(tmp_path / "n"))
    with pytest.raises(raywf.WorkflowFailed) as caught:
        handle.result(timeout=60)
    assert "WorkerLost" in caught.value.failure.type
    assert len((tmp_path / "n").read_text().splitlines()) == 3
    assert neighbour.result(timeout=30) == 0.5


@pytest.mark.kill
def test_a_task_in_the_actor_that_takes_it_along_is_worker_lost_and_neighbours_go_on(
    engine: raywf.WorkflowEngine, tmp_path: Path
) -> None:
    @task
    def deadly(path: str) -> None:
        note.function(path, "attempt")
        os._exit(3)

    @workflow
    def flow(path: str) -> Any:
        return deadly(path)

    neighbours = engine.submit_many(napping, [0.5] * 5)
    handle = engine.submit(flow, str(tmp_path / "n"))
    with pytest.raises(raywf.WorkflowFailed) as caught:
        handle.result(timeout=90)
    assert "WorkerLost" in caught.value.failure.type
    assert len((tmp_path / "n").read_text().splitlines()) == 3
    assert [each.result(timeout=30) for each in neighbours] == [0.5] * 5


def test_a_task_that_calls_sys_exit_fails_like_any_other(engine: raywf.WorkflowEngine) -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    @workflow
    def flow() -> Any:
        return leave()

    with pytest.raises(raywf.WorkflowFailed) as caught:
        engine.submit(flow).result(timeout=60)
    assert "SystemExit" in caught.value.failure.type or "WorkerLost" in caught.value.failure.type


# -- every thread, every loop ----------------------------------------------------------------------------------------


def test_the_engine_works_from_any_thread(engine: raywf.WorkflowEngine) -> None:
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.__setitem__(n, engine.run(doubling, n)))  # type: ignore[misc]
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == {n: 2 * n for n in range(8)}


async def test_the_sync_engine_works_where_a_loop_runs(engine: raywf.WorkflowEngine) -> None:
    assert engine.run(doubling, 2) == 4
