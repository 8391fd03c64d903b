"""Programs written for Ray's removed workflow library run on raywf: one test per behaviour they rely on."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raywf.compat import ray_workflow as workflow
from raywf.compat.ray_workflow import session as sessions

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def _connected(shared_ray: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    workflow.init(storage=f"sqlite:///{tmp_path_factory.mktemp('store')}/raywf.db")
    yield
    assert sessions._session is not None
    sessions._session.end()
    sessions._session = None


@ray.remote
def add(a: Any, b: Any) -> Any:
    return a + b


@ray.remote
def double(value: int) -> int:
    return 2 * value


@ray.remote
def fail(message: str) -> None:
    raise ValueError(message)


def noted(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@ray.remote
def note(path: Path, value: Any = None) -> Any:
    with path.open("a") as file:
        file.write("ran\n")
    return value


def test_run_gives_the_result_of_a_graph() -> None:
    assert workflow.run(add.bind(add.bind(1, 2), 4)) == 7


def test_run_async_gives_a_reference_that_ray_knows() -> None:
    reference = workflow.run_async(add.bind(1, 2))
    assert ray.get(reference) == 3
    assert ray.get(add.remote(reference, 10)) == 13


def test_a_workflow_of_the_same_id_is_not_run_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    for _ in range(2):
        assert workflow.run(note.bind(ledger, "once"), workflow_id="same") == "once"
    assert workflow.resume("same") == "once"
    assert noted(ledger) == 1


def test_results_in_a_list_come_as_references() -> None:
    @ray.remote
    def total(values: list[ray.ObjectRef[int]]) -> int:
        return sum(ray.get(values))

    assert workflow.run(total.bind([double.bind(1), double.bind(2), ray.put(4)])) == 10


def test_recursion_by_continuation() -> None:
    @ray.remote
    def multiply(a: int, b: int) -> int:
        return a * b

    @ray.remote
    def factorial(n: int) -> Any:
        return 1 if n == 1 else workflow.continuation(multiply.bind(n, factorial.bind(n - 1)))

    assert workflow.run(factorial.bind(6), workflow_id="factorial") == math.factorial(6)
    assert workflow.get_output("factorial", task_id="factorial_1") == math.factorial(5)


def test_outside_of_a_workflow_a_continuation_is_executed() -> None:
    assert workflow.continuation(add.bind(1, 1)) == 2


def test_nested_workflows(tmp_path: Path) -> None:
    """A task goes on as a graph whose tasks go on as graphs; each runs once."""

    @ray.remote
    def inner(value: int) -> Any:
        return workflow.continuation(add.bind(note.bind(tmp_path / "inner", value), 1))

    @ray.remote
    def outer(value: int) -> Any:
        return workflow.continuation(add.bind(inner.bind(value), inner.bind(10 * value)))

    assert workflow.run(double.bind(outer.bind(1))) == 2 * (2 + 11)
    assert noted(tmp_path / "inner") == 2


def test_catch_exceptions_gives_result_and_exception() -> None:
    @ray.remote
    def told(outcome: tuple[Any, Exception | None]) -> str:
        result, error = outcome
        return f"{result}, {type(error).__name__}: {error}"

    caught = workflow.options(catch_exceptions=True)
    assert workflow.run(told.bind(fail.options(**caught).bind("no"))) == "None, ValueError: no"
    assert workflow.run(double.options(**caught).bind(2)) == (4, None)


def test_catch_exceptions_goes_down_into_a_continuation() -> None:
    @workflow.options(catch_exceptions=True)
    @ray.remote
    def goes_on() -> Any:
        return workflow.continuation(fail.bind("below"))

    result, error = workflow.run(goes_on.bind())
    assert result is None
    assert repr(error) == repr(ValueError("below"))


def test_a_failure_is_raised_as_ray_raises_it() -> None:
    with pytest.raises(workflow.WorkflowExecutionError, match="ValueError: broken") as raised:
        workflow.run(fail.bind("broken"), workflow_id="broken")
    assert isinstance(raised.value, ray.exceptions.RayTaskError)
    with pytest.raises(ray.exceptions.RayTaskError) as again:
        ray.get(workflow.get_output_async("broken"))
    assert isinstance(again.value, workflow.WorkflowExecutionError)
    assert workflow.get_status("broken") == "FAILED"


def test_retries_count_what_ray_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    @ray.remote(max_retries=2, retry_exceptions=True)
    def flaky() -> int:
        with ledger.open("a") as file:
            file.write("ran\n")
        if noted(ledger) < 3:
            raise OSError("not yet")
        return noted(ledger)

    assert workflow.run(flaky.bind()) == 3
    ledger.unlink()
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(flaky.options(max_retries=1, retry_exceptions=True).bind())
    assert noted(ledger) == 2


def test_a_failed_workflow_is_resumed_from_what_failed(tmp_path: Path) -> None:
    ledger, broken = tmp_path / "ledger", tmp_path / "broken"
    broken.touch()

    @ray.remote
    def last(value: int) -> int:
        if broken.exists():
            raise ValueError("broken")
        return value + 1

    @ray.remote
    def goes_on() -> Any:
        return workflow.continuation(last.bind(note.bind(ledger, 1)))

    graph = add.bind(goes_on.bind(), 0)
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(graph, workflow_id="mended")
    broken.unlink()
    assert workflow.resume("mended") == 2
    assert noted(ledger) == 1
    assert workflow.get_status("mended") == workflow.SUCCESSFUL


def test_resume_all_takes_the_failed_ones_when_asked(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    @ray.remote
    def once_mended() -> str:
        if broken.exists():
            raise ValueError("broken")
        return "mended"

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(once_mended.bind(), workflow_id="all")
    broken.unlink()
    assert "all" not in dict(workflow.resume_all())
    references = dict(workflow.resume_all(include_failed=True))
    assert ray.get(references["all"]) == "mended"


def test_get_output_of_a_task_by_its_id() -> None:
    inner = double.options(**workflow.options(task_id="inner")).bind(1)
    outer = double.options(**workflow.options(task_id="outer")).bind(inner)
    reference = workflow.run_async(outer, workflow_id="doubles")
    assert ray.get(workflow.get_output_async("doubles", task_id="inner")) == 2
    assert workflow.get_output("doubles", task_id="outer") == 4
    assert workflow.get_output("doubles") == ray.get(reference) == 4
    with pytest.raises(ValueError, match=r"Did you mean 'inner'"):
        workflow.get_output("doubles", task_id="iner")


def test_tasks_without_an_id_are_named_after_their_function_and_counted() -> None:
    workflow.run(double.bind(double.bind(1)), workflow_id="named")
    name = f"{__name__}.double"
    assert workflow.get_output("named", task_id=name) == 2
    assert workflow.get_output("named", task_id=f"{name}_1") == 4

    @workflow.options(task_id="f")
    @ray.remote
    def counted(n: int, after: Any) -> int:
        return n

    workflow.run(counted.bind(20, counted.bind(10, None)), workflow_id="counted")
    assert (workflow.get_output("counted", task_id="f"), workflow.get_output("counted", task_id="f_1")) == (10, 20)


def test_a_task_without_a_checkpoint_runs_and_its_result_is_used() -> None:
    data = double.options(**workflow.options(checkpoint=False)).bind(4)
    assert workflow.run(add.bind(data, 1), workflow_id="unchecked") == 9
    assert workflow.get_metadata("unchecked", "double")["task_options"]["checkpoint"] is False


def test_metadata_of_a_workflow_and_of_its_tasks() -> None:
    before = time.time()
    task = add.options(num_cpus=0.5, **workflow.options(task_id="sum", metadata={"owner": "me"})).bind(
        double.bind(1), 1
    )
    workflow.run(task, workflow_id="described", metadata={"kind": "test"})
    whole = workflow.get_metadata("described")
    assert whole["status"] == "SUCCESSFUL"
    assert whole["user_metadata"] == {"kind": "test"}
    part = workflow.get_metadata("described", task_id="sum")
    assert part["user_metadata"] == {"owner": "me"}
    assert part["task_options"]["ray_options"] == {"num_cpus": 0.5}
    for stats in (whole["stats"], part["stats"]):
        assert before - 1 <= stats["start_time"] <= stats["end_time"] <= time.time() + 1
    with pytest.raises(ValueError, match="no task"):
        workflow.get_metadata("described", "other")
    with pytest.raises(ValueError, match="does not exist"):
        workflow.get_metadata("nobody")


def test_sleep_waits_and_occupies_nothing() -> None:
    @ray.remote
    def after(_: None, began: float) -> float:
        return time.time() - began

    assert 0.3 <= workflow.run(after.bind(workflow.sleep(0.3), time.time())) < 10


def test_wait_for_event_with_a_timer_and_a_time_from_a_task() -> None:
    @ray.remote
    def soon() -> float:
        return time.time() + 0.2

    @ray.remote
    def gather(*events: Any) -> tuple[Any, ...]:
        return events

    timer = workflow.wait_for_event(workflow.TimerListener, time.time() + 0.2)
    other = workflow.wait_for_event(workflow.event_listener.TimerListener, soon.bind())
    assert workflow.run(gather.bind(timer, other, "both")) == (None, None, "both")


class Letter(workflow.EventListener):
    """Waits for a file, blocking now and then as a careless client would, and takes it away once it is kept."""

    async def poll_for_event(self, path: Path) -> str:  # type: ignore[override]
        while not path.exists():
            time.sleep(0.01)
            await asyncio.sleep(0.01)
        return path.read_text()

    async def event_checkpointed(self, event: str) -> None:
        Path(event).unlink()


def test_wait_for_event_gives_the_event_and_commits_it_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    reference = workflow.run_async(add.bind(workflow.wait_for_event(Letter, path), "!"), workflow_id="letter")
    assert workflow.run(add.bind(1, 1)) == 2  # others go on
    assert workflow.get_status("letter") == workflow.RUNNING
    path.write_text(str(path))
    assert ray.get(reference) == f"{path}!"
    assert not path.exists()


def test_big_arguments_and_results() -> None:
    import numpy as np

    @ray.remote
    def scaled(array: Any, by: Any) -> Any:
        return array * by

    big = np.arange(500_000, dtype=np.float64)  # 4 MB
    result = workflow.run(scaled.bind(scaled.bind(big, 2), ray.put(np.full(500_000, 3.0))))
    assert np.array_equal(result, big * 6)


class Opaque:
    """Nothing that raywf has an encoding for."""

    def __init__(self, value: int) -> None:
        self.value = value


def test_objects_of_any_class_pass_between_tasks() -> None:
    @ray.remote
    def made(value: int) -> Opaque:
        return Opaque(value)

    @ray.remote
    def opened(given: Opaque, *, more: dict[str, Any]) -> Any:
        return Opaque(given.value + more["n"]), ray.put("late")

    opaque, reference = workflow.run(opened.bind(made.bind(1), more={"n": 2}))
    assert opaque.value == 3
    assert ray.get(reference) == "late"


def test_input_nodes_are_filled_in_by_run() -> None:
    with ray.dag.InputNode() as given:
        graph = add.bind(add.bind(given[0], given.second), 1)
    assert workflow.run(graph, 10, second=20) == 31


def test_cancel_ends_what_runs_and_is_final(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    @ray.remote
    def endless() -> None:
        begun.touch()
        time.sleep(600)

    reference = workflow.run_async(endless.bind(), workflow_id="endless")
    eventually(begun.exists)
    with pytest.raises(RuntimeError, match="already running"):
        workflow.run(endless.bind(), workflow_id="endless")
    with pytest.raises(workflow.WorkflowStillActiveError):
        workflow.delete("endless")
    workflow.cancel("endless")
    assert workflow.get_status("endless") == workflow.CANCELED
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(reference)
    with pytest.raises(workflow.WorkflowNotResumableError):
        workflow.resume("endless")


def test_delete_frees_the_id(tmp_path: Path) -> None:
    assert workflow.run(double.bind(1), workflow_id="deleted") == 2
    workflow.delete("deleted")
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status("deleted")
    assert "deleted" not in dict(workflow.list_all())
    assert workflow.run(double.bind(2), workflow_id="deleted") == 4
    assert workflow.get_output("deleted") == 4
    with pytest.raises(workflow.WorkflowNotFoundError):
        workflow.delete("never")


def test_list_all_filters_by_status() -> None:
    workflow.run(double.bind(1), workflow_id="listed")
    assert ("listed", "SUCCESSFUL") in workflow.list_all()
    assert ("listed", workflow.SUCCESSFUL) in workflow.list_all({"SUCCESSFUL", workflow.FAILED})
    assert "listed" not in dict(workflow.list_all("RUNNING"))
    with pytest.raises(ValueError, match="Did you mean 'FAILED'"):
        workflow.list_all("FAILD")


def test_at_most_so_many_workflows_run(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    @ray.remote(num_cpus=0)
    def through() -> int:
        while not gate.exists():
            time.sleep(0.02)
        return 1

    workflow.init(max_running_workflows=1)
    try:
        references = [workflow.run_async(through.bind(), workflow_id=f"queued-{at}") for at in range(2)]
        eventually(lambda: {workflow.get_status(f"queued-{at}") for at in range(2)} == {"RUNNING", "PENDING"})
        gate.touch()
        assert ray.get(references) == [1, 1]
    finally:
        workflow.init(max_running_workflows=-1)


def eventually(condition: Callable[[], Any], timeout: float = 30.0) -> None:
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.02)


FIRST = """
    import os, sys, time
    import ray
    from raywf.compat import ray_workflow as workflow

    @ray.remote
    def first(ledger):
        open(ledger, "a").write("first\\n")
        return 20

    @ray.remote
    def second(value, ledger):
        open(ledger, "a").write("second\\n")
        while not os.path.exists(ledger + ".go"):
            time.sleep(0.05)
        return value + 1

    ledger = sys.argv[1]
    workflow.init()
    print(workflow.run(second.bind(first.bind(ledger), ledger), workflow_id="interrupted"), flush=True)
"""
SECOND = """
    import sys
    import ray
    from raywf.compat import ray_workflow as workflow

    workflow.init()
    print(workflow.get_status("interrupted").value, workflow.list_all("RESUMABLE")[0][0])
    open(sys.argv[1] + ".go", "w").close()
    print([(id_, ray.get(reference)) for id_, reference in workflow.resume_all()])
    print(workflow.get_status("interrupted").value, workflow.get_output("interrupted", task_id="first"))
"""


@pytest.mark.long
@pytest.mark.kill
@pytest.mark.timeout(300)
def test_resume_after_the_loss_of_the_whole_cluster_by_a_program_without_the_code(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith(("RAY_ADDRESS", "RAYWF_STORE"))
    }
    for name, text in (("one", FIRST), ("two", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(textwrap.dedent(text))
    environment["RAYWF_STORE"] = f"sqlite:///{tmp_path}/raywf.db"
    command = [sys.executable, str(tmp_path / "one" / "one.py"), str(ledger)]
    with subprocess.Popen(command, cwd=tmp_path / "one", env=environment, start_new_session=True) as running:
        eventually(lambda: noted(ledger) == 2, timeout=120)
        os.kill(running.pid, signal.SIGKILL)  # a private Ray ends with its driver
    command = [sys.executable, str(tmp_path / "two" / "two.py"), str(ledger)]
    done = subprocess.run(
        command, cwd=tmp_path / "two", env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    said = [line for line in done.stdout.splitlines() if "raylet" not in line]
    assert said == ["RESUMABLE interrupted", "[('interrupted', 21)]", "SUCCESSFUL 20"]
    assert ledger.read_text().splitlines()[:2] == ["first", "second"]
    assert ledger.read_text().count("first") == 1
