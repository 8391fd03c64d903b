"""`raywf run` with an engine that is a few lines: exit codes, what is printed where, and how to go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import raywf.client.engine as engines
from raywf.cli import running, waiting
from raywf.core import events as ev
from raywf.core.failures import Failure
from raywf.errors import AlreadyExists, StoreUnavailable, WorkflowCancelled, WorkflowFailed
from tests.unit.cli import flows
from tests.unit.cli.stores import COMPLETED, FAILED, STARTED, WAITS, FilledStore

Cli = Callable[..., Any]
FLOWS = str(Path(flows.__file__))
HELLO: Sequence[ev.Event] = (ev.ExecutionStarted(b'{"name":"world"}'), ev.ExecutionCompleted(b'"hello world"'))


class FakeHandle:
    def __init__(self, id: str, outcome: Any) -> None:
        self.id = id
        self._outcome = outcome

    async def result(self) -> Any:
        if self._outcome is None:
            await asyncio.Event().wait()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


class FakeEngine:
    """Writes the history that a test asks for when it is submitted to. What was asked is kept in ``asked``."""

    def __init__(self, filled: FilledStore) -> None:
        self.filled = filled
        self.store = filled.url
        self.events: Sequence[ev.Event] = HELLO
        self.outcome: Any = "hello world"
        self.refuses: BaseException | None = None
        self.asked: dict[str, Any] = {}
        self.waiting_for: str | None = None
        self.closed = False

    def __call__(self, address: str | None, store: str, namespace: str, pools: Any) -> FakeEngine:
        self.asked = {"address": address, "store": store, "namespace": namespace}
        return self

    async def open(self) -> None:
        pass

    async def submit(self, workflow: Any, *args: Any, execution_id: str | None, **options: Any) -> FakeHandle:
        if self.refuses is not None:
            raise self.refuses
        self.asked |= {"workflow": workflow.id, "args": args, "id": execution_id, **options}
        id = execution_id or "fresh-1"
        add = self.filled.add
        where = {"namespace": self.asked["namespace"], "waiting_for": self.waiting_for}
        await asyncio.to_thread(add, workflow, self.events, id=id, **where)
        return FakeHandle(id, self.outcome)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine(store: FilledStore, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine(store)
    monkeypatch.setattr(engines, "AsyncWorkflowEngine", fake)
    monkeypatch.setenv("RAYWF_STORE", store.url)
    return fake


def test_the_result_is_json_on_stdout_and_progress_on_stderr(cli: Cli, engine: FakeEngine) -> None:
    ended = cli("run", f"{FLOWS}:hello")
    assert (ended.code, ended.out) == (0, '"hello world"\n')
    assert ended.err.splitlines() == [
        "starting a private Ray (`raywf up` keeps one running) …",
        "22:13:20  ● running     execution fresh-1",
        "22:13:21  ✔ completed   execution fresh-1",
    ]
    assert engine.closed


def test_quiet_and_raw(cli: Cli, engine: FakeEngine) -> None:
    ended = cli("run", f"{FLOWS}:hello", "-q", "--raw")
    assert (ended.code, ended.out, ended.err) == (0, "hello world\n", "")


def test_what_was_asked_reaches_the_engine(cli: Cli, engine: FakeEngine) -> None:
    options = "--id x-1 --priority 7 --tag team=blue --namespace n --address local --quiet".split()
    assert cli("run", f"{FLOWS}:hello", "--input", '"you"', *options).code == 0
    assert engine.asked == {
        "address": "local",
        "store": engine.store,
        "namespace": "n",
        "workflow": "hello",
        "args": ("you",),
        "id": "x-1",
        "priority": 7,
        "tags": {"team": "blue"},
    }


def test_a_failure_is_exit_code_1(cli: Cli, engine: FakeEngine) -> None:
    engine.events = FAILED
    engine.outcome = WorkflowFailed("fresh-1", "publish", Failure("ValueError", "bad sky", "Traceback …", 1))
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"')
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-2:] == [
        "raywf: task 'publish' of execution 'fresh-1' failed: ValueError: bad sky",
        "next: raywf show fresh-1",
    ]


def test_a_cancel_is_exit_code_1(cli: Cli, engine: FakeEngine) -> None:
    engine.events = (STARTED, ev.CancelRequested("enough"))
    engine.outcome = WorkflowCancelled("fresh-1", "enough")
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"')
    assert ended.code == 1
    assert "raywf: execution 'fresh-1' was cancelled: enough" in ended.err


def test_where_only_a_person_can_go_on_it_leaves_and_says_how(
    cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    engine.events, engine.outcome, engine.waiting_for = WAITS, None, "an approval"
    ended = cli("run", f"{FLOWS}:review", "--input", '"the sky"', "--id", "x-1", "-q")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.splitlines() == [
        "raywf: execution x-1 is waiting, and only a person can go on; it waits for an approval",
        "next:",
        "  raywf approve x-1",
        "  raywf reject x-1",
        f"  raywf run {FLOWS}:review --input '\"the sky\"' --id x-1",
    ]
    assert engine.closed


def test_where_an_engine_stays_the_result_can_be_asked_for(
    cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    engine.events, engine.outcome = WAITS, None
    engine.filled.hold()
    original = engine.filled.add

    def add(*args: Any, **kwargs: Any) -> Any:
        state = original(*args, **kwargs)
        engine.filled.hold()
        return state

    monkeypatch.setattr(engine.filled, "add", add)
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"', "-q")
    assert ended.code == 5
    assert ended.err.splitlines()[-1] == "  raywf result fresh-1"


def test_with_a_timeout_only_the_time_counts(cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    engine.events, engine.outcome = WAITS, None
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"', "--timeout", "0.05", "-q")
    assert ended.code == 5
    assert "execution fresh-1 is waiting, and has not ended within 0.05 s" in ended.err


def test_at_a_terminal_somebody_may_answer(cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it waits on: here until the result comes after all."""
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")

    async def result(self: FakeHandle) -> str:
        await asyncio.sleep(0.3)
        return "done"

    monkeypatch.setattr(FakeHandle, "result", result)
    engine.events = WAITS
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"')
    assert (ended.code, ended.out) == (0, '"done"\n')


def test_detach_prints_the_id_and_needs_an_engine_that_stays(cli: Cli, engine: FakeEngine) -> None:
    refused = cli("run", f"{FLOWS}:hello", "--detach")
    assert refused.code == 4
    assert "raywf up" in refused.err
    assert "id" not in engine.asked
    engine.filled.hold()
    ended = cli("run", f"{FLOWS}:hello", "--detach")
    assert (ended.code, ended.out) == (0, "fresh-1\n")
    assert ended.err.splitlines()[-1] == "next: raywf watch fresh-1"


def test_ctrl_c_says_how_to_go_on(cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def attend(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_attend", attend)
    ended = cli("run", f"{FLOWS}:hello", "--input", '"you"', "-q")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.splitlines() == [
        "raywf: interrupted; execution fresh-1 is on disk",
        "next:",
        f"  raywf run {FLOWS}:hello --input '\"you\"' --id fresh-1",
    ]


def test_ctrl_c_before_anything_was_submitted(cli: Cli, engine: FakeEngine) -> None:
    engine.refuses = KeyboardInterrupt()
    ended = cli("run", f"{FLOWS}:hello", "--id", "x-1", "-q")
    assert (ended.code, ended.err) == (130, "raywf: interrupted before anything was submitted\n")


@pytest.mark.parametrize(
    ("error", "code"), [(AlreadyExists("taken"), 2), (StoreUnavailable("held by another"), 4), (OSError("disk"), 1)]
)
def test_what_the_engine_refuses_has_its_exit_code(
    cli: Cli, engine: FakeEngine, error: BaseException, code: int
) -> None:
    engine.refuses = error
    ended = cli("run", f"{FLOWS}:hello", "-q")
    assert ended.code == code
    assert ended.err.count("\n") == 1
    assert engine.closed


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((f"{FLOWS}:nothing",), 3, "has no 'nothing'"),
        (("nowhere.py:wf",), 3, "there is no file 'nowhere.py'"),
        (("nowhere",), 3, "a target is MODULE:NAME"),
        ((f"{FLOWS}:search",), 2, "a @task"),
        ((f"{FLOWS}:hello", "--input", "{"), 2, "line 1 column 2"),
        ((f"{FLOWS}:hello", "--input", "[1, 2]"), 2, "parameter 'name'"),
        ((f"{FLOWS}:review",), 2, "parameter 'question': is missing"),
        ((f"{FLOWS}:hello", "--input", "@nowhere.json"), 3, "cannot be read"),
        ((f"{FLOWS}:hello", "--tag", "x"), 2, "KEY=VALUE"),
        ((f"{FLOWS}:hello", "--id", "a/b"), 2, "no white space and no '/'"),
    ],
)
def test_mistakes_are_found_before_an_engine_is_looked_for(
    cli: Cli, engine: FakeEngine, words: tuple[str, ...], code: int, says: str
) -> None:
    ended = cli("run", *words)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1
    assert engine.asked == {}


def test_a_result_of_any_kind_is_json(cli: Cli, engine: FakeEngine) -> None:
    import numpy as np
    import pyarrow as pa

    engine.outcome = {
        "table": pa.table({"a": [1, 2]}),
        "array": np.arange(3),
        "bytes": b"\xff",
        "nan": float("nan"),
        "set": {1},
        "é": "ü",
    }
    out = json.loads(cli("run", f"{FLOWS}:hello", "-q").out)
    assert out == {
        "table": [{"a": 1}, {"a": 2}],
        "array": [0, 1, 2],
        "bytes": "_w==",
        "nan": "NaN",
        "set": [1],
        "é": "ü",
    }


def test_the_demo_gets_its_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import raywf.demo.run

    asked: dict[str, Any] = {}

    def run_demo(**options: Any) -> int:
        asked.update(options)
        return 5

    monkeypatch.setattr(raywf.demo.run, "run_demo", run_demo)
    assert cli("demo", "--input", "a.csv", "--interactive", "--limit", "3", "--json", "--namespace", "n").code == 5
    del asked["console"], asked["progress"]
    assert asked == {
        "store": None,
        "namespace": "n",
        "input_path": Path("a.csv"),
        "interactive": True,
        "limit": 3,
        "output": None,
        "as_json": True,
    }


def test_a_history_that_is_complete_is_what_the_result_says(cli: Cli, engine: FakeEngine) -> None:
    engine.events, engine.outcome = COMPLETED, "done"
    ended = cli("run", f"{FLOWS}:review", "--input", '"sky"')
    assert ended.err.splitlines()[-1] == "22:13:30  ✔ completed   execution fresh-1"
