"""One execution leaves its store as a file, and comes into another one; a file is held against today's definition."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf.client.exporting import ExportedExecution, export_execution, import_execution
from raywf.client.reading import Readings
from raywf.client.replay import replay
from raywf.errors import AlreadyExists, InvalidInput, NotFound
from raywf.journal.memory import MemoryJournal
from raywf.runtime.data import MemoryBlobs
from tests.unit.runtime.engines import LANE, Engine, live_through, new_store

BIG = "x" * 200_000
RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@raywf.task
async def add(x: int) -> int:
    RAN.append("add")
    return x + 1


@raywf.task
async def big(x: int) -> str:
    return BIG


@raywf.workflow
def child(x: int):
    return add(x)


@raywf.workflow
def parent(x: int):
    return child(add(x)), big(x), raywf.wait_signal("go")


@raywf.workflow
def waiting(x: int):
    return child_waits(add(x))


@raywf.workflow
def child_waits(x: int):
    return add(raywf.wait_signal("go"))


@raywf.task
def goes_on(x: int) -> Any:
    return raywf.continuation(child_waits, x)


@raywf.workflow
def grown(x: int):
    return add(goes_on(x))


def readings_of(engine: Engine) -> Readings:
    found = Readings(engine.journal._url, "default", engine.journal)
    found.blobs = engine.blobs
    return found


def in_an_engine(workflow: Any, main: Any, store: str = "", life: int = 1) -> Any:
    async def whole() -> Any:
        engine = Engine(workflow, store or new_store(), life)
        await engine.claim()
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(whole)


def exported(workflow: Any = parent, *, closed: bool = True) -> ExportedExecution:
    async def main(engine: Engine) -> ExportedExecution:
        await engine.submit(1)
        if closed:
            assert (await engine.to_the_end([("signal", {"name": "go", "value": "5"})]))[0] == "execution_completed"
        else:
            await asyncio.sleep(1)
        await engine.commits.drain()
        return await export_execution(readings_of(engine), "x")

    return in_an_engine(workflow, main)  # type: ignore[no-any-return]


def elsewhere() -> tuple[MemoryJournal, Readings]:
    journal = MemoryJournal(new_store())
    readings = Readings(journal._url, "default", journal)
    readings.blobs = MemoryBlobs()
    return journal, readings


async def bring(found: ExportedExecution, journal: MemoryJournal, readings: Readings, **more: Any) -> str:
    return await import_execution(found, journal, readings.blobs, "default", **{"lane": LANE, **more})


def test_a_closed_execution_is_the_same_in_another_store_by_way_of_a_file(tmp_path: Path) -> None:
    exported().save(tmp_path / "x.json")
    found = ExportedExecution.load(tmp_path / "x.json")
    assert [row.id for row in found.executions] == ["x", "x/child"]
    assert len(found.values) == 2 and found.missing == []  # the task's, and the one in the result

    async def main() -> None:
        journal, readings = elsewhere()
        assert await bring(found, journal, readings) == "completed"
        described = await readings.describe("x")
        assert (described.status, described.results["big"]) == ("completed", BIG)
        assert (await readings.describe("x/child")).results == {"add": 3}
        again = await export_execution(readings, "x")
        assert again.model_dump(exclude={"exported_at"}) == found.model_dump(exclude={"exported_at"})
        with pytest.raises(AlreadyExists, match="nothing was imported"):
            await bring(found, journal, readings)

    asyncio.run(main())


def test_an_open_execution_comes_paused_with_its_children_and_goes_on_when_it_is_resumed() -> None:
    found = exported(waiting, closed=False)
    assert RAN == ["add"]
    store = new_store()

    async def main(engine: Engine) -> Any:
        readings = readings_of(engine)
        assert await bring(found, engine.journal, readings) == "paused"
        await engine.owner._take_once()
        await engine.until(lambda: "x/child_waits" in engine.host.open)
        await engine.send(1, "signal", {"name": "go", "value": "5"}, id="x/child_waits")
        await asyncio.sleep(10)
        assert (await readings.row("x")).status == "paused" and RAN == ["add"]
        await engine.send(2, "resume", {})
        return await engine.to_the_end()

    assert in_an_engine(waiting, main, store) == ("execution_completed", 6)
    assert RAN == ["add", "add"]


def test_a_continuation_that_waits_comes_along_and_goes_on_too() -> None:
    found = exported(grown, closed=False)
    assert [row.id for row in found.executions] == ["x", "x/goes_on"]

    async def main(engine: Engine) -> Any:
        assert await bring(found, engine.journal, readings_of(engine)) == "paused"
        await engine.owner._take_once()
        await engine.until(lambda: "x/goes_on" in engine.host.open)
        await engine.send(1, "signal", {"name": "go", "value": "5"}, id="x/goes_on")
        await engine.send(2, "resume", {})
        return await engine.to_the_end()

    assert in_an_engine(grown, main, new_store()) == ("execution_completed", 7)


def test_an_open_execution_that_is_to_go_on_does_so_with_the_next_engine() -> None:
    found = exported(parent, closed=False)
    store, blobs = new_store(), MemoryBlobs()

    async def put() -> str:
        journal = MemoryJournal(store)
        return await import_execution(found, journal, blobs, "default", lane=LANE, go_on=True)

    assert asyncio.run(put()) in ("waiting", "running")

    async def main(engine: Engine) -> Any:
        engine.blobs._blobs.update(blobs._blobs)
        await engine.send(1, "signal", {"name": "go", "value": "5"})
        await asyncio.sleep(1)
        await engine.commits.drain()
        return (await engine.journal.execution("default", "x")).status  # type: ignore[union-attr]

    assert in_an_engine(parent, main, store) == "completed"
    assert RAN == ["add", "add"]  # what had run there did not run again here


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(raywf="else"), "no exported execution"),
        (lambda data: data.update(format=99), "it has format 99"),
        (lambda data: data["executions"][0].pop("status"), "executions.0.status: Field required"),
        (lambda data: data["executions"][0]["events"].pop(2), "its history has a gap"),
        (lambda data: data["executions"][0]["events"].pop(), "its history says"),
        (lambda data: data["definitions"].clear(), "definition"),
        (lambda data: next(iter(data["definitions"].values())).update(version="9"), "was changed"),
        (lambda data: data["values"].update({next(iter(data["values"])): "eA=="}), "large value"),
    ],
)
def test_a_file_that_was_damaged_is_refused_and_nothing_is_stored(change: Any, said: str) -> None:
    data = json.loads(exported().to_json())
    change(data)

    async def main() -> None:
        journal, readings = elsewhere()
        with pytest.raises(InvalidInput) as caught:
            await bring(ExportedExecution.from_json(json.dumps(data)), journal, readings)
        assert said in str(caught.value)
        assert await journal.executions("default") == []

    asyncio.run(main())


def test_what_is_no_file_and_no_root_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        ExportedExecution.load(tmp_path / "nothing.json")
    with pytest.raises(InvalidInput, match="not JSON"):
        ExportedExecution.from_json("{")

    async def main() -> None:
        journal, readings = elsewhere()
        await bring(found, journal, readings)
        with pytest.raises(InvalidInput, match="export its root, 'x'"):
            await export_execution(readings, "x/child")
        with pytest.raises(NotFound):
            await export_execution(readings, "y")

    found = exported()
    asyncio.run(main())


GOLDEN = Path(__file__).parents[2] / "golden" / "exports"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_an_export_of_old_stays_readable(path: Path) -> None:
    found = ExportedExecution.load(path)

    async def main() -> None:
        journal, readings = elsewhere()
        assert await bring(found, journal, readings) == found.root.status
        again = await export_execution(readings, found.id)
        assert again.executions == found.executions and again.values == found.values

    asyncio.run(main())
    assert replay(found).folds is None


# replay


def traced(body: Any, name: str = "parent") -> Any:
    return raywf.workflow(id=name)(body).definition


def verdicts(found: Any) -> dict[str, str]:
    return {task.task: task.verdict for task in found.tasks}


def test_a_history_against_its_own_definition_keeps_everything() -> None:
    found = replay(exported(), parent.definition)
    assert found.ok and found.same_definition
    assert set(verdicts(found).values()) == {"kept"}
    assert replay(exported()).ok


def test_a_task_that_is_called_otherwise_runs_again_with_all_that_needs_it() -> None:
    def parent(x: int):  # type: ignore[no-untyped-def]
        return child(add(7)), big(x), raywf.wait_signal("go")

    found = replay(exported(), traced(parent))
    assert found.ok and not found.same_definition
    wait = next(name for name in verdicts(found) if name not in ("add", "child", "big"))
    assert verdicts(found) == {"add": "runs again", "child": "runs again", "big": "kept", wait: "kept"}
    by_name = {task.task: task.differs for task in found.tasks}
    assert by_name["add"][0].startswith("args: ") and "is now [7]" in by_name["add"][0]
    assert by_name["child"] == ["what it needs has changed: add"]


def test_tasks_that_are_new_or_gone_are_named_and_a_history_that_does_not_fold_says_at_which_event() -> None:
    def parent(x: int):  # type: ignore[no-untyped-def]
        return add(x), add(x)

    found = replay(exported(), traced(parent))
    assert not found.ok
    assert verdicts(found)["add-2"] == "new" and verdicts(found)["child"] == "gone"
    assert found.folds is not None and found.folds.startswith("event ") and "there is no task" in found.folds
