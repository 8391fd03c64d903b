"""Inside a Ray worker: the tasks of a chunk one after another, each with its own fate."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import raywf
from raywf.core.plan import FunctionRef
from raywf.definition import values
from raywf.errors import CodeMissing, RaywfError
from raywf.runtime import bundle as bundles
from raywf.runtime import worker
from raywf.runtime.bundle import Bundle
from raywf.runtime.code import Code
from raywf.runtime.data import FileBlobs, blob_hash, blob_mark, pack
from raywf.runtime.evaluate import failure_of
from raywf.runtime.spool import read_spool
from raywf.runtime.worker import Chunk, Item, run_chunk

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="untouched")
HERE = "tests.unit.runtime.test_worker"


@pytest.fixture(autouse=True)
def a_worker_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    monkeypatch.setattr(bundles, "_entered", None)
    for name, value in (("_code", Code()), ("_received", set()), ("_previous", None), ("_runner", None)):
        monkeypatch.setattr(worker, name, value)
    yield
    if worker._runner is not None:
        worker._runner.close()
    sys.path[:] = path
    sys.modules.update(modules)


def plain(x: Any) -> Any:
    VARIABLE.set("spoilt")
    return x


def look(x: Any) -> str:
    return VARIABLE.get()


async def slowly(x: int) -> float:
    await asyncio.sleep(0)
    return x + 0.5


async def hang(x: int) -> None:
    await asyncio.get_running_loop().create_future()


def me(x: Any) -> tuple[Any, ...]:
    here = raywf.current()
    return here.execution_id, here.task_id, here.attempt, here.idempotency_key


def fail(kind: str) -> None:
    raise {"value": ValueError, "exit": SystemExit, "key": KeyError}[kind](kind)


def annotated(x: Any) -> int:
    return x  # type: ignore[no-any-return]


class Chunks:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.number = 0

    def __call__(self, name: str, *given: Any, sent: bytes | None = None, hot: Any = (), **more: Any) -> list[Any]:
        """What the tasks of a chunk came to: values, or failures as data."""
        self.number += 1
        items = [
            Item([each if isinstance(each, bytes) else values.encode(each)], {}, ("x", f"t{at}", 2, f"x/t{at}", None))
            for at, each in enumerate(given)
        ]
        fields: dict[str, Any] = {
            "bundle": Bundle((), "hash", "project"), "function": FunctionRef(f"{HERE}:{name}"), "timeout": None,
            "non_retryable": (), "items": items, "spool": self.tmp_path / f"notes-{self.number}", "blob_root": None,
            "blob_mark": "", "hot": [],
        }  # fmt: skip
        seconds, outcomes = run_chunk(Chunk(**(fields | more)), sent, hot)
        assert seconds >= 0
        notes = read_spool(self.tmp_path / f"notes-{self.number}")
        assert notes is not None
        assert [notes.outcomes[at] for at in range(len(items))] == outcomes
        assert notes.running is None
        return [values.decode(what.encode()) if kind == "ok" else what for kind, what in outcomes]


@pytest.fixture
def run(tmp_path: Path) -> Chunks:
    return Chunks(tmp_path)


def test_tasks_run_one_after_another_and_see_nothing_of_each_other(run: Chunks) -> None:
    assert run("plain", 1, [2], {"a": (3,)}) == [1, [2], {"a": (3,)}]
    assert run("look", 1, 2) == ["untouched", "untouched"]
    assert run("slowly", 1, 2) == [1.5, 2.5]


def test_each_knows_who_it_is(run: Chunks) -> None:
    assert run("me", 0, 0) == [("x", "t0", 2, "x/t0"), ("x", "t1", 2, "x/t1")]
    with pytest.raises(RaywfError, match="outside of a task"):
        raywf.current()


def test_one_that_raises_costs_only_itself(run: Chunks) -> None:
    outcomes = run("fail", "value", "exit", "key", non_retryable=("LookupError",))
    assert [(each["type"], each["retryable"], each["attempt"]) for each in outcomes] == [
        ("ValueError", True, 2), ("SystemExit", False, 2), ("KeyError", False, 2),
    ]  # fmt: skip
    assert "raise {" in outcomes[0]["traceback"]


def test_results_fit_their_annotation_or_fail(run: Chunks) -> None:
    assert run("annotated", "5")[0] == 5
    assert run("annotated", "many")[0]["type"] == "raywf.errors.ValidationFailed"


def test_a_timeout_of_an_async_task_is_its_failure(run: Chunks) -> None:
    [failure] = run("hang", 1, timeout=0.001)
    assert (failure["type"], failure["message"]) == ("TimeoutError", "t0 ran longer than its timeout of 0.001 s")
    assert run("plain", 1, timeout=60) == [1]


def test_code_that_is_missing_is_a_failure_that_names_it(run: Chunks) -> None:
    [failure] = run("gone", 1)
    assert failure["type"] == "raywf.errors.CodeMissing"
    assert f"{HERE}:gone" in failure["message"]


def test_functions_sent_by_value_are_used_and_received_once(run: Chunks, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []
    receive = Code.receive

    def note(self: Code, blob: bytes) -> None:
        received.append(blob)
        receive(self, blob)

    monkeypatch.setattr(Code, "receive", note)
    ref = FunctionRef("__main__:double", "h", by_value=True)
    sent = cloudpickle.dumps({"functions": {("__main__:double", "h"): lambda x: x * 2}, "classes": {}})
    assert [run("double", 4, function=ref, sent=sent) for _ in range(2)] == [[8], [8]]
    assert len(received) == 1


def test_large_values_come_along_or_from_beside_the_store(tmp_path: Path) -> None:
    root = tmp_path / "store.data"
    blobs, mark = FileBlobs(root), blob_mark(root)
    big = b"x" * 100_000
    reference = pack(big, blobs)
    seconds, [outcome] = run_chunk_with_reference(tmp_path, reference, blob_root=root, blob_mark=mark)
    assert outcome[0] == "ok"
    assert blob_hash(big) in outcome[1], "a large result stays beside the store, too"
    seconds, [outcome] = run_chunk_with_reference(tmp_path, reference, blob_root=root, blob_mark="of another host")
    assert outcome[0] == "failed"
    assert "neither sent along nor is it on this node" in outcome[1]["message"]
    seconds, [outcome] = run_chunk_with_reference(tmp_path, reference, hot={blob_hash(big): big})
    assert outcome[0] == "ok"
    assert seconds >= 0


def run_chunk_with_reference(tmp_path: Path, reference: bytes, hot: Any = None, **more: Any) -> Any:
    hot = hot or {}
    fields: dict[str, Any] = {
        "bundle": Bundle((), "hash", "project"), "function": FunctionRef(f"{HERE}:plain"), "timeout": None,
        "non_retryable": (), "items": [Item([reference], {}, ("x", "t", 1, "x/t", None))], "spool": tmp_path / "notes",
        "blob_root": None, "blob_mark": "", "hot": list(hot),
    }  # fmt: skip
    return run_chunk(Chunk(**(fields | more)), None, list(hot.values()))


def test_the_notes_of_the_call_before_are_removed(run: Chunks, tmp_path: Path) -> None:
    reference = values.encode(1)
    run_chunk_with_reference(tmp_path, reference)
    assert (tmp_path / "notes").exists()
    run("plain", 1)
    assert not (tmp_path / "notes").exists()


# code


def test_functions_that_were_not_sent_are_missing_and_say_what_to_do() -> None:
    with pytest.raises(CodeMissing, match="run that script again"):
        Code().function(FunctionRef("__main__:f", "h", by_value=True))
    with pytest.raises(CodeMissing, match="cannot be loaded here"):
        Code().receive(b"not a pickle")


def test_a_function_that_was_sent_again_replaces_the_one_before() -> None:
    code, ref = Code(), FunctionRef("__main__:f", "h", by_value=True)
    for number in (1, 2):
        functions = {("__main__:f", "h"): eval(f"lambda: {number}")}
        code.receive(cloudpickle.dumps({"functions": functions, "classes": {"__main__:Point": dict}}))
        assert code.function(ref).call() == number
    assert code.find_class("__main__:Point") is dict


@pytest.mark.parametrize("text", ["raise ValueError('at import')", "import no_such_module", "def f(:"])
def test_a_module_that_cannot_be_imported_is_missing_code(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises: one broken file must not end the actor that meets it."""
    (tmp_path / "brokenmodule.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CodeMissing, match="brokenmodule"):
        Code().function(FunctionRef("brokenmodule:f"))


# failures


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Deep(LookupError):
    pass


@pytest.mark.parametrize(
    ("names", "retryable"),
    [((), True), (("LookupError",), False), ((f"{HERE}.Deep",), False), (("Deep",), False), (("KeyError",), True),
     (("Exception",), False)],
)  # fmt: skip
def test_a_failure_is_retryable_unless_its_class_or_a_base_is_named(names: tuple[str, ...], retryable: bool) -> None:
    failure = failure_of(raised(Deep("x")), 3, names)
    assert (failure.type, failure.message, failure.attempt, failure.retryable) == (f"{HERE}.Deep", "x", 3, retryable)
    assert "Deep: x" in failure.traceback


def test_causes_groups_and_notes_are_in_the_text_which_has_a_bound() -> None:
    error = raised(ExceptionGroup("several", [raised(ValueError("one")), raised(KeyError("two"))]))
    error.add_note("while testing")
    error.__cause__ = raised(OSError("the cause"))
    text = failure_of(error, 1).traceback
    for words in ("several", "one", "two", "while testing", "the cause"):
        assert words in text
    assert len(failure_of(raised(ValueError("x" * 10**6)), 1).traceback) <= 20_000


def test_our_own_frames_are_left_out_of_the_traceback(run: Chunks) -> None:
    [failure] = run("fail", "value")
    assert "raywf/runtime" not in failure["traceback"]
    assert "in fail" in failure["traceback"]


def speaks(x: Any) -> bool:
    raywf.current().heartbeat(x)
    return raywf.current() is raywf.current()


def test_a_speaker_is_made_for_who_speaks_and_for_nobody_else(run: Chunks, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds locks and may start a thread, which costs more than a small task."""
    made: list[tuple[int, int]] = []

    class Speaker(worker.Speaker):
        def __init__(self, tell: Any, listener: Any, place: tuple[int, int], emitted: int) -> None:
            made.append(place)
            super().__init__(tell, listener, place, emitted)

    monkeypatch.setattr(worker, "Speaker", Speaker)
    heard: list[tuple[Any, ...]] = []

    def tell(listener: Any, words: tuple[Any, ...]) -> bool:
        heard.append(words)
        return True

    def outcomes(name: str) -> list[Any]:
        items = [Item([b"7"], {}, ("x", f"t{at}", 1, f"x/t{at}", None)) for at in range(2)]
        chunk = Chunk(
            Bundle((), "hash", "project"), FunctionRef(f"{HERE}:{name}"), None, (), items, run.tmp_path / name, None, "",
            [], listener=("actor", "namespace"), number=9,
        )  # fmt: skip
        return run_chunk(chunk, None, (), tell)[1]

    assert outcomes("plain") == [["ok", "7"], ["ok", "7"]]
    assert made == []
    said = [left[0] for _, _, *left in outcomes("speaks") if left]
    assert made == [(9, 0), (9, 1)]
    assert len(said) + len(heard) == 2, "every word arrives once: on its way, or with the outcome"
