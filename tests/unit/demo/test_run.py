"""The demo against an engine that is a few lists: approvals are answered, order is kept, failures are counted."""

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raywf.client.aggregators import Aggregator, AsyncAggregator
from raywf.core.failures import Failure
from raywf.demo import run as demo
from raywf.demo.person import NobodyToAsk, at_the_terminal
from raywf.errors import ExecutionClosed, ResultTimeout, WorkflowFailed
from raywf.journal import memory
from raywf.journal.memory import MemoryJournal
from raywf.runtime.clock import SystemClock
from raywf.testing.aggregators import LocalReach


class FakeHandle:
    """Completes at once, waits for an approval, or fails, by what its ticket says."""

    def __init__(self, execution_id: str, text: str) -> None:
        self.id = execution_id
        self.text = text
        self.answers: list[str] = []

    @property
    def waits(self) -> bool:
        return "hvor" in self.text.casefold() and not self.answers

    def result(self, timeout: float) -> dict[str, Any]:
        if self.waits:
            raise ResultTimeout(self.id)
        if self.text == "explode":
            failure = Failure(type="ValueError", message="no")
            raise WorkflowFailed(self.id, "merge_language", failure)
        asked = bool(self.answers)
        return {
            "text": self.text,
            "language": None if self.answers == ["no"] else "da",
            "merged_language": "da",
            "confidence": 0.4 if asked else 0.97,
            "agreement": 1.0,
            "quality": 0.9,
            "asked": asked,
            "topic": "other",
            "urgency": "normal",
            "votes": {"one": "da", "two": "no" if asked else "da"},
        }

    def describe(self) -> Any:
        merged = {"language": "da", "candidates": {"da": 0.4, "no": 0.3}, "votes": {"one": "da", "two": "no"}}
        return SimpleNamespace(results={"merge_language": merged})

    def approve(self, *, by: str, comment: str) -> None:
        if "lukket" in self.text:
            self.answers.append("late")
            raise ExecutionClosed(self.id)
        self.answers.append("yes")

    def reject(self, *, by: str, comment: str) -> None:
        self.answers.append("no")


class FakeEngine:
    def __init__(self) -> None:
        self.handles: dict[str, FakeHandle] = {"somebody-elses": FakeHandle("somebody-elses", "hvor?")}
        self.connected: dict[str, Any] = {}

    @contextmanager
    def connect(self, **where: Any) -> Iterator["FakeEngine"]:
        self.connected = where
        self.loop = asyncio.new_event_loop()
        self.reach = LocalReach(MemoryJournal("demo", clock=SystemClock()), SystemClock(), 0, {})
        try:
            yield self
            self.call(self.reach.close())
        finally:
            self.loop.close()
            memory.forget("demo")

    def call(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def submit_many(self, workflow: Any, inputs: list[str], execution_ids: list[str]) -> list[FakeHandle]:
        handles = [FakeHandle(id_, text) for id_, text in zip(execution_ids, inputs, strict=True)]
        assert not set(execution_ids) & set(self.handles)
        self.handles.update((handle.id, handle) for handle in handles)
        return handles

    def list(self, *, status: str, workflow: str, limit: int, after: str | None) -> list[FakeHandle]:
        assert (status, workflow) == ("waiting", "triage")
        waiting = [handle for handle in self.handles.values() if handle.waits]
        start = next((i + 1 for i, handle in enumerate(waiting) if handle.id == after), 0)
        return waiting[start : start + limit]

    def get(self, execution_id: str) -> FakeHandle:
        return self.handles[execution_id]

    def aggregator(self, name: str, strategy: str) -> Aggregator:
        """The real one, on a store in memory."""
        return Aggregator(AsyncAggregator(self.reach, name, strategy, 0.7, SystemClock()), cast(Any, self))


class Stage:
    """One invocation of the demo with captured stdout and stderr."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = FakeEngine()
        self.out, self.err = io.StringIO(), io.StringIO()

    def run(self, content: str | None, name: str = "in.txt", **options: Any) -> int:
        path = self.folder / name
        if content is not None:
            path.write_text(content, encoding="utf-8")
        settings: dict[str, Any] = {"store": "sqlite:///demo.db", "output": self.folder / "out.parquet"} | options
        return demo.run_demo(
            input_path=path,
            console=Console(file=self.out, width=100),
            progress=Console(file=self.err, width=100),
            engine_factory=self.engine.connect,
            **settings,
        )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(demo, "require_all", lambda: None)
    return Stage(tmp_path)


def test_rows_keep_the_order_and_approvals_are_answered(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PAGE", 2)
    assert stage.run("Hvor er min pakke?\nhej\nhvor?\nhvor nu?\nhvor lukket\ntak\n", namespace="mine") == 0
    table = pq.read_table(stage.folder / "out.parquet").to_pydict()
    assert table["text"] == ["Hvor er min pakke?", "hej", "hvor?", "hvor nu?", "hvor lukket", "tak"]
    assert table["asked"] == [True, False, True, True, True, False]
    assert table["vote_two"] == ["no", "da", "no", "no", "no", "da"]
    assert stage.engine.connected == {"store": "sqlite:///demo.db", "namespace": "mine"}
    assert stage.engine.handles["somebody-elses"].answers == [], "only executions of this run are answered"
    shown = stage.out.getvalue()
    assert "no accuracy" in shown
    assert "raywf ls --store sqlite:///demo.db --namespace mine" in shown
    assert "raywf graph raywf.demo.triage:triage" in shown
    assert "A person was asked about 4 tickets." in shown


def test_the_aggregator_is_told_truths_and_asked_about_the_others(stage: Stage) -> None:
    lines = "".join(f"hej {n},da\n" for n in range(120))
    assert stage.run(f"text,language\n{lines}", name="in.csv", as_json=True) == 0
    found = json.loads(stage.out.getvalue())["aggregator"]
    assert (found["heard"], found["gold"], found["before"]["calibrated"], found["after"]["calibrated"]) == (
        120, 60, False, True,
    )  # fmt: skip
    assert found["after"]["accuracy"] == 1.0 and found["after"]["tickets"] == 60
    assert found["trust"]["one"] > 0.9


def test_with_few_truths_it_says_that_they_are_few(stage: Stage) -> None:
    assert stage.run("text,language\nhej,da\nhaj,da\nhoj,da\nhuj,da\n", name="in.csv") == 0
    assert "2 truths are fewer than the 50" in stage.out.getvalue()
    assert "not calibrated" in stage.out.getvalue()


def test_with_truth_the_accuracies_are_shown(stage: Stage) -> None:
    assert stage.run("text,language,topic\nhej,da,other\nhvor,no,bug\n", name="in.csv") == 0
    shown = stage.out.getvalue()
    assert "merged (log pool)" in shown
    assert "beats merging by 1 of 2" in shown, "where the best single source wins, the demo says so"
    assert "Topic by keyword rules: 50.0% right (the commonest alone: 50.0%)." in shown
    assert "Urgency" not in shown


def test_json_is_all_that_goes_to_stdout(stage: Stage) -> None:
    assert stage.run("hej\n", as_json=True) == 0
    found = json.loads(stage.out.getvalue())
    assert found["tickets"] == 1
    assert found["accuracy"]["merged"] is None
    assert found["next"][1].startswith(f"raywf show demo-{found['run']}-0001")


def test_two_runs_in_one_store_do_not_meet(stage: Stage) -> None:
    assert stage.run("hej\n") == stage.run("hej\n") == 0
    assert len(stage.engine.handles) == 3


def test_a_failed_execution_is_counted_and_named(stage: Stage) -> None:
    assert stage.run("explode\nhej\n") == 1
    assert "1 failed; the first: raywf show demo-" in stage.out.getvalue()
    assert pq.read_table(stage.folder / "out.parquet").to_pydict()["language"] == [None, "da"]


@pytest.mark.parametrize(
    ("content", "name", "options", "says"),
    [
        (None, "none.txt", {}, "there is no file"),
        ("", "in.txt", {}, "no tickets in it"),
        ("hej", "in.txt", {"limit": 0}, "the limit is 0"),
        ("hej", "in.txt", {"output": "no/such/folder/out.parquet"}, "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(
    stage: Stage, content: str | None, name: str, options: dict[str, Any], says: str
) -> None:
    assert stage.run(content, name, **options) == 2
    assert says in stage.err.getvalue().replace("\n", " ")
    assert not stage.engine.connected


def test_a_limit_takes_the_first_tickets(stage: Stage) -> None:
    assert stage.run("a\nb\nc\n", limit=2) == 0
    assert pq.read_table(stage.folder / "out.parquet").num_rows == 2


def test_a_password_in_the_store_is_not_printed(stage: Stage) -> None:
    assert stage.run("hej\n", store="postgresql://me:secret@db/raywf") == 0
    assert "secret" not in stage.out.getvalue() + stage.err.getvalue()
    assert stage.engine.connected["store"] == "postgresql://me:secret@db/raywf"


def test_by_hand_y_approves_and_n_rejects(tmp_path: Path) -> None:
    answers = iter(["maybe", "Y", "n"])
    notes = io.StringIO()
    person = at_the_terminal(Console(file=notes, width=100), lambda question: next(answers))
    first, second = FakeHandle("1", "hvor [er] den?"), FakeHandle("2", "hvor?")
    for handle in (first, second):
        person(handle, SimpleNamespace(text=handle.text))  # type: ignore[arg-type]
    assert (first.answers, second.answers) == (["yes"], ["no"])
    assert "hvor [er] den?" in notes.getvalue()
    assert "da  40%" in notes.getvalue()
    assert "neither y nor n" in notes.getvalue()


def test_the_end_of_the_terminal_leaves_the_executions_waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> str:
        raise EOFError

    monkeypatch.setattr(Console, "input", ended)
    assert stage.run("hvor\n", interactive=True) == 5
    assert "raywf ls --store" in stage.err.getvalue()
    with pytest.raises(NobodyToAsk):
        at_the_terminal(Console(file=io.StringIO()), ended)(FakeHandle("1", "hvor"), SimpleNamespace(text="x"))  # type: ignore[arg-type]
