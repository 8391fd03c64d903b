"""Inside a Ray worker: load the bundle's code, run the tasks of a chunk one after another, note each step."""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from raywf.core.plan import CLEANUP_S, FunctionRef
from raywf.definition import values
from raywf.definition.context import TaskContext, enter
from raywf.definition.continuation import Continuation
from raywf.runtime.bundle import Bundle, enter_bundle
from raywf.runtime.code import Code, Function
from raywf.runtime.data import FileBlobs, pack
from raywf.runtime.evaluate import failure_of
from raywf.runtime.speaking import Speaker, Tell
from raywf.runtime.spool import SpoolWriter


class Item(NamedTuple):
    """One task of a chunk: encoded arguments and the fields of its ``TaskContext``; the last progress of the attempts before
    (encoded), and how many items they emitted. They travel as plain tuples, hundreds in a call: those pickle fastest."""

    args: Sequence[bytes]
    kwargs: Mapping[str, bytes]
    context: tuple[Any, ...]
    progress: bytes | None = None
    emitted: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some tasks of one kind in one call. ``hot`` are the hashes of the large values sent along, in order.
    ``stall_limit``: for how many seconds an async task may block its loop. ``listener`` is the actor that hears what its
    tasks say, ``number`` what it calls the chunk; ``is_heard``: they must say that they have begun. ``cleanup``: the seconds
    that an async task which is cancelled has, in a worker that outlives it. ``spool_key`` hides the notes."""

    bundle: Bundle
    function: FunctionRef
    timeout: float | None
    non_retryable: tuple[str, ...]
    items: Sequence[tuple[Any, ...]]
    spool: Path
    blob_root: Path | None
    blob_mark: str
    hot: Sequence[str]
    stall_limit: float | None = None
    listener: tuple[str, str] | None = None
    number: int = 0
    is_heard: bool = False
    cleanup: float = CLEANUP_S
    spool_key: bytes | None = field(default=None, repr=False)


_code = Code()
_received: set[int] = set()
_previous: Path | None = None
_runner: asyncio.Runner | None = None


def run_chunk(
    chunk: Chunk, sent: bytes | None, hot: Sequence[bytes], tell: Tell | None = None
) -> tuple[float, list[Any]]:
    """Run the tasks of a chunk. Returns the seconds they took and, for each, ``["ok", value text]`` or
    ``["failed", failure data]``, followed by what it said last, if that was not sent by ``tell``. Never raises what a task
    raised."""
    global _previous, _code
    if enter_bundle(chunk.bundle):
        _code = Code()
        _received.clear()
    if sent is not None and hash(sent) not in _received:
        _code.receive(sent)
        _received.add(hash(sent))
    if _previous is not None:
        _previous.unlink(missing_ok=True)
    spool = SpoolWriter(chunk.spool, chunk.spool_key)
    _previous = chunk.spool
    began = time.perf_counter()
    try:
        run = Run(chunk, dict(zip(chunk.hot, hot, strict=True)), spool, tell, _code)
        outcomes = run.all()
    finally:
        spool.close()
    return time.perf_counter() - began, outcomes


class Run:
    """The tasks of a chunk, one after another."""

    warm: Any = None

    def __init__(self, chunk: Chunk, hot: dict[str, bytes], spool: SpoolWriter, tell: Tell | None, code: Code) -> None:
        self.tell = tell
        self.code = code
        self.chunk = chunk
        self.hot = hot
        self.spool = spool
        self.blobs = _blobs(chunk)

    def fetch(self, hash_: str) -> bytes:
        found = self.hot.get(hash_)
        if found is not None:
            return found
        if self.blobs is None:
            raise LookupError(f"the large value {hash_} was neither sent along nor is it on this node")
        return self.blobs.get(hash_)

    def all(self) -> list[Any]:
        outcomes: list[Any] = []
        last = len(self.chunk.items) - 1
        self.spool.started(0)
        for index, item in enumerate(self.chunk.items):
            outcome = self._one(Attempt(self, index, Item._make(item)))
            self.spool.ended(index, outcome, begins=index + 1 if index < last else None)
            outcomes.append(outcome)
        return outcomes

    def _one(self, attempt: Attempt) -> list[Any]:
        item, find, fetch = attempt.item, self.code.find_class, self.fetch
        try:
            if self.chunk.is_heard:
                attempt.context().report(None)
            function = self.code.function(self.chunk.function)
            args = [values.decode(each, find, fetch) for each in item.args]
            kwargs = {name: values.decode(each, find, fetch) for name, each in item.kwargs.items()}
            result = self._call(function, attempt, args, kwargs)
            outcome: list[Any] = ["ok", self._packed(function, result).decode()]
        except BaseException as error:
            outcome = self.failed(error, attempt)
        if attempt.speaker is not None and (left := attempt.speaker.close()) is not None:
            outcome.append(left)
        return outcome

    def failed(self, error: BaseException, attempt: Attempt) -> list[Any]:
        return ["failed", failure_of(error, attempt.number, self.chunk.non_retryable).to_data()]

    def _packed(self, function: Function, result: Any) -> bytes:
        if type(result) is function.exact and (small := values.encode_small(result)) is not None:
            return small
        if type(result) is Continuation:
            return result.to_bytes()
        return pack(result if function.coerce is None else function.coerce(result), self.blobs)

    def _call(self, function: Function, attempt: Attempt, args: list[Any], kwargs: dict[str, Any]) -> Any:
        timeout = self.chunk.timeout
        if function.is_async:
            work = _with_timeout(function.call, attempt.context, args, kwargs, timeout)
            if self.chunk.stall_limit is not None:
                work = _unblocked(work, self.chunk.stall_limit, self.spool.fileno)
            return _loop().run(work, context=contextvars.Context())
        if timeout is None:
            return contextvars.Context().run(_in_context, function.call, attempt.context, args, kwargs)
        # Ends the process from a thread of C, whatever holds the interpreter; the notes say what was running.
        faulthandler.dump_traceback_later(timeout, exit=True, file=self.spool.fileno)
        try:
            return contextvars.Context().run(_in_context, function.call, attempt.context, args, kwargs)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Attempt:
    """One task of a chunk while it runs. Its context, and the speaker behind it, are made when they are first asked for: most
    tasks never ask, and a speaker holds locks that cost more than a small task."""

    __slots__ = ("_context", "_index", "_run", "item", "speaker")

    def __init__(self, run: Run, index: int, item: Item) -> None:
        self._run = run
        self._index = index
        self.item = item
        self.speaker: Speaker | None = None
        self._context: TaskContext | None = None

    @property
    def number(self) -> int:
        return int(self.item.context[2])

    def context(self) -> TaskContext:
        if self._context is None:
            context = TaskContext(*self.item.context, *self._mouth())
            self._context = context if self._run.warm is None else replace(context, warm=self._run.warm)
        return self._context

    def _mouth(self) -> tuple[Any, ...]:
        run, item = self._run, self.item
        if run.tell is None or run.chunk.listener is None:
            return ()
        self.speaker = Speaker(run.tell, run.chunk.listener, (run.chunk.number, self._index), item.emitted)
        progress = None if item.progress is None else values.decode(item.progress, run.code.find_class, run.fetch)
        return self.speaker.report, self.speaker.pass_on, progress, item.emitted


_ContextOf = Callable[[], TaskContext]


def _in_context(call: Callable[..., Any], context: _ContextOf, args: list[Any], kwargs: dict[str, Any]) -> Any:
    enter(context)
    return call(*args, **kwargs)


async def _with_timeout(
    call: Callable[..., Any], context: _ContextOf, args: list[Any], kwargs: dict[str, Any], timeout: float | None
) -> Any:
    enter(context)
    try:
        async with asyncio.timeout(timeout) as limit:
            return await call(*args, **kwargs)
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{context().task_id} ran longer than its timeout of {timeout:g} s") from None
        raise


async def _unblocked(work: Coroutine[Any, Any, Any], limit: float, file: int) -> Any:
    """Await a task that has taken two workflow actors along: if it blocks its loop here too, that ends this process."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal timer
        faulthandler.dump_traceback_later(limit, exit=True, file=file)
        timer = loop.call_later(limit / 4, beat)

    beat()
    try:
        return await work
    finally:
        if timer is not None:
            timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def _loop() -> asyncio.Runner:
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner


def _blobs(chunk: Chunk) -> FileBlobs | None:
    """The large values beside the store, if this node sees the same directory as the owner."""
    if chunk.blob_root is None:
        return None
    try:
        same = (chunk.blob_root / ".store").read_text() == chunk.blob_mark
    except OSError:
        return None
    return FileBlobs(chunk.blob_root) if same else None
