"""Running attempts for the host: coroutines on the loop, plain functions in threads, the rest through a dispatcher."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from raywf.config import INLINE_LIMIT
from raywf.core import retry
from raywf.core.backlog import Demand
from raywf.core.effects import StartAttempt
from raywf.core.failures import Failure
from raywf.core.owed import task_at
from raywf.core.plan import CLEANUP_S, FunctionRef, Node, PoolUse
from raywf.core.state import NO_NOTES, Notes, key_of, passes_of
from raywf.definition import values
from raywf.definition.context import TaskContext, enter
from raywf.definition.continuation import Continuation
from raywf.definition.warmth import Warmth
from raywf.errors import CodeMissing
from raywf.runtime.attempts import Attempt, CoroutineRunners
from raywf.runtime.code import Code, Function
from raywf.runtime.data import pack
from raywf.runtime.evaluate import Evaluator, failure_of
from raywf.runtime.gate import Gate
from raywf.runtime.host import Host
from raywf.runtime.live import Live, address
from raywf.runtime.plain import Plain, is_plain
from raywf.runtime.voices import Mouth
from raywf.runtime.warming import LocalPools

if TYPE_CHECKING:
    from raywf.runtime.recalling import Recall

_FIRST = 2**40
"""A priority before any user's."""

MAX_ABANDONED = 16
"""Threads that are given up on before the actor asks to be replaced."""


class RemoteCall:
    """One attempt to run outside this process: everything a worker needs, and whom to tell."""

    __slots__ = (
        "args",
        "at",
        "attempt",
        "begun",
        "brief_until",
        "context",
        "function",
        "isolated",
        "item",
        "kwargs",
        "live",
        "node",
        "notes",
        "pool",
        "queued_at",
        "state",
        "unbegun",
    )

    def __init__(self, live: Live, node: Node, effect: StartAttempt, function: FunctionRef) -> None:
        self.live = live
        self.node = node
        self.item = effect.item
        self.attempt = effect.attempt
        self.at = effect.at
        self.isolated = effect.isolated
        self.function = function
        self.args: list[bytes] = []
        self.kwargs: dict[str, bytes] = {}
        self.context: tuple[Any, ...] = ()
        self.notes: Notes = NO_NOTES
        self.begun = False
        self.brief_until = 0.0  # monotonic: until then the call it travels in takes no longer than its like
        self.queued_at = 0.0
        self.state: Any = None
        self.pool: PoolUse | None = None
        self.unbegun = 0  # calls that died before they began anything


class Dispatcher(Protocol):
    """Runs attempts outside this process (as Ray tasks)."""

    def submit(self, call: RemoteCall) -> None: ...
    def cancel(self, call: RemoteCall) -> None: ...
    def hear(self, number: int, index: int, progress: bytes | None, first: int, items: list[bytes]) -> bool: ...
    def backlog(self) -> list[Demand]:
        """What waits and what runs, by kind."""
        ...

    async def close(self) -> None: ...


class ThreadPool(Protocol):
    abandoned: int

    def start(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None], priority: int = 0
    ) -> Attempt: ...
    def abandon(self, attempt: Attempt) -> None: ...


class Missing:
    """An attempt that waits for its code."""

    __slots__ = ("effect", "live", "node", "queued_at")

    def __init__(self, live: Live, node: Node, effect: StartAttempt) -> None:
        self.live, self.node, self.effect = live, node, effect
        self.queued_at = 0.0


class Asking(Missing):
    """An attempt that waits for room in a limit."""

    __slots__ = ()


class Recalling(Missing):
    """An attempt that waits to hear whether its result, found under ``key``, is known."""

    __slots__ = ("key",)

    def __init__(self, live: Live, node: Node, effect: StartAttempt, key: str) -> None:
        super().__init__(live, node, effect)
        self.key = key


class Warming(Missing):
    """An attempt that waits for its pool to be set up in this process."""

    __slots__ = ()


def _flies(live: Live, place: tuple[int, int | None]) -> bool:
    return live.inflight is not None and place in live.inflight


def _falls_back(live: Live, node: Node, effect: StartAttempt) -> bool:
    """Whether this attempt is the fallback's: the attempts of the task itself are used up."""
    task = task_at(live.state, effect.task, effect.item)
    return retry.has_given_up(node.options.retry, task.failures, task.failure)


def _is_ours(function: FunctionRef) -> bool:
    """Whether a task runs nothing of the user's: then it is not what its process died of, and needs no process of its own."""
    return function.path.startswith("raywf.client.learned:")


def slot_of(live: Live, effect: StartAttempt) -> str:
    """The id of an attempt's slot: a task has one attempt at a time."""
    return f"{live.key}/{address(live, effect.task, effect.item)}"


class LocalWork:
    """``host.Work`` in this process, with a ``dispatcher`` for what runs elsewhere."""

    def __init__(
        self,
        host: Host,
        evaluator: Evaluator,
        code: Code,
        loop: asyncio.AbstractEventLoop,
        threads: ThreadPool,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self.host = host
        self.evaluator = evaluator
        self.code = code
        self.loop = loop
        self.runners = CoroutineRunners(loop)
        self.threads = threads
        self.dispatcher = dispatcher
        self.pools = LocalPools(code, loop)
        self.missing: list[Missing] = []
        self.gate: Gate | None = None
        self.recall: Recall | None = None
        self.aggregators: Any = None
        """The way to the store's aggregators (``client.aggregators.Reach``)."""
        self.on_worn_out: Callable[[], None] = lambda: None

    def start(self, live: Live, node: Node, effect: StartAttempt) -> Any:
        function = live.functions[node.index]
        if isinstance(function, Plain):
            if effect.isolated and self.dispatcher is not None:
                function = function.function
            else:
                try:
                    return function.start(live, effect)
                except Exception as error:
                    return self._not_started(live, node, effect, error)
        if node.options.asks and (asking := self._first(live, node, effect)) is not None:
            return asking
        ref = node.function
        assert ref is not None
        if function is None or node.fallback is not None:
            try:
                if node.fallback is not None and _falls_back(live, node, effect):
                    ref = node.fallback
                    function = self.code.function(ref)
                else:
                    function = self.code.function(ref)
                    live.functions[node.index] = Plain(self, node, function) if is_plain(node, function) else function
            except CodeMissing as error:
                return self._wait_for_code(live, node, effect, error)
        options = node.options
        if self.dispatcher is not None and (options.runs_on == "ray" or (effect.isolated and not _is_ours(ref))):
            return self._start_remote(live, node, effect, ref)
        if options.pool is not None and ref is node.function and self.pools.warmth(options.pool) is None:
            return self._warm_up(options.pool, live, node, effect)
        done = functools.partial(self.done, live, node, effect, function)
        if not function.is_async:
            return self._start_thread(live, node, effect, function, done)
        try:
            if effect.item is None:
                args, kwargs = self._arguments(live.state, node, None, None)
            else:
                args, kwargs = self.arguments(live, node, effect.item)
        except Exception as error:
            return self._not_started(live, node, effect, error)
        if options.timeout is not None:
            self.host.arm_timeout(live, effect, options.timeout)
        context = functools.partial(self.context, live, node, effect)
        attempt = self.runners.start(function.call, (context, args, kwargs), done)
        if options.heartbeat_timeout is not None:
            self.host.voices.listen(live, effect)
        if options.cleanup_timeout != CLEANUP_S:
            attempt.cleanup_s = options.cleanup_timeout
        return attempt

    def _start_thread(
        self, live: Live, node: Node, effect: StartAttempt, function: Function, done: Callable[..., None]
    ) -> Attempt:
        state, context = live.state, functools.partial(self.context, live, node, effect)
        try:
            columns = None if effect.item is None else self.columns(live, node)
        except Exception as error:
            return self._fail_soon(live, node, effect, error)
        timeout, is_heard = node.options.timeout, node.options.heartbeat_timeout is not None

        def work() -> bytes:
            if is_heard:
                self.loop.call_soon_threadsafe(self.host.voices.listen, live, effect)
            if timeout is not None:
                arm = functools.partial(self.host.arm_timeout, live, effect, timeout)
                self.loop.call_soon_threadsafe(arm)
            args, kwargs = self._arguments(state, node, effect.item, columns)
            enter(context)
            return self._encoded(function, function.call(*args, **kwargs))

        return self.threads.start(work, done, live.row.priority)

    def _start_remote(self, live: Live, node: Node, effect: StartAttempt, function: FunctionRef) -> Any:
        assert self.dispatcher is not None
        call = RemoteCall(live, node, effect, function)
        if node.options.pool is not None and function is node.function:
            call.pool = node.options.pool
            try:
                self._know_setup(call.pool)
            except CodeMissing as error:
                return self._wait_for_code(live, node, effect, error)
        try:
            call.args, call.kwargs = self.encoded_arguments(live, node, effect.item)
        except Exception as error:
            return self._fail_soon(live, node, effect, error)
        call.context = self._identity(live, node, effect)
        call.notes = task_at(live.state, effect.task, effect.item).notes or NO_NOTES
        self.dispatcher.submit(call)
        return call

    def _fail_soon(self, live: Live, node: Node, effect: StartAttempt, error: BaseException) -> Attempt:
        failure = failure_of(error, effect.attempt, node.options.retry.non_retryable)
        self.loop.call_soon(self.host.ended, live, node.index, effect.item, effect.attempt, failure, effect.at)
        return Attempt(None, lambda result, error: None)

    def has_begun(self, handle: Any) -> bool | None:
        """None: it cannot begin before something else happens, and is started anew then."""
        return None if isinstance(handle, Missing) else bool(handle.begun)

    def is_brief(self, handle: Any) -> bool:
        """Whether an attempt that has begun is expected to end in a moment."""
        return type(handle) is RemoteCall and handle.brief_until > self.host.clock.monotonic()

    def cancel(self, handle: Any) -> None:
        match handle:
            case RemoteCall():
                assert self.dispatcher is not None
                self.dispatcher.cancel(handle)
            case Asking(live=live, effect=effect):
                assert self.gate is not None
                self.gate.done(slot_of(live, effect))
                self.loop.call_soon(self.host.ended, live, effect.task, effect.item, effect.attempt, None)
            case Recalling(live=live, effect=effect):
                assert self.recall is not None
                self.recall.forget(handle)
                self.loop.call_soon(self.host.ended, live, effect.task, effect.item, effect.attempt, None, effect.at)
            case Warming(live=live, effect=effect):
                self.loop.call_soon(self.host.ended, live, effect.task, effect.item, effect.attempt, None, effect.at)
            case Missing(live=live, effect=effect):
                self.missing.remove(handle)
                self.loop.call_soon(self.host.ended, live, effect.task, effect.item, effect.attempt, None, effect.at)
            case Attempt(work=None):
                pass
            case Attempt(is_async=True):
                self.runners.cancel(handle)
            case _:
                self._give_up_thread(handle)

    def _give_up_thread(self, handle: Attempt) -> None:
        self.threads.abandon(handle)
        if handle.abandoned:
            self.loop.call_soon(handle.done, None, asyncio.CancelledError())
        if self.threads.abandoned >= MAX_ABANDONED:
            self.on_worn_out()

    def aside(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.threads.start(work, done, _FIRST)

    # asking first: whether the result is known, whether a limit has room

    def must_ask(self, live: Live, node: Node, effect: StartAttempt) -> bool:
        """Whether an attempt cannot begin before somebody has answered."""
        return self._must_recall(live, node, effect) or self._must_be_admitted(live, node, effect)

    def _must_recall(self, live: Live, node: Node, effect: StartAttempt) -> bool:
        asks = node.options.cache is not None and self.recall is not None and self.recall.must_ask(live, node, effect)
        return asks and not (node.fallback is not None and _falls_back(live, node, effect))

    def _must_be_admitted(self, live: Live, node: Node, effect: StartAttempt) -> bool:
        return bool(node.options.limits) and self.gate is not None and not self.gate.holds(slot_of(live, effect))

    def _first(self, live: Live, node: Node, effect: StartAttempt) -> Any:
        if self.recall is not None and self._must_recall(live, node, effect):
            asking = self.recall.ask(live, node, effect)
            if asking is not None:
                return asking
        if self.gate is not None and self._must_be_admitted(live, node, effect):
            return self._ask(self.gate, live, node, effect)
        return None

    def _ask(self, gate: Gate, live: Live, node: Node, effect: StartAttempt) -> Asking | Attempt:
        asking = Asking(live, node, effect)
        start = functools.partial(self._admitted, gate, asking)
        note = functools.partial(self.host.note_missing, live)
        where = address(live, node.index, effect.item)
        try:
            gate.ask(slot_of(live, effect), live, where, node.options.limits, start, note)
        except ValueError as error:
            return self._fail_soon(live, node, effect, error)
        return asking

    def _admitted(self, gate: Gate, asking: Asking) -> None:
        live, effect = asking.live, asking.effect
        place = (effect.task, effect.item)
        if live.inflight is None or live.inflight.get(place) is not asking:
            gate.done(slot_of(live, effect))
            return
        del live.inflight[place]
        self.host.release(live, (effect,))
        if not _flies(live, place):  # not now: it asks again when it comes again
            gate.done(slot_of(live, effect))

    def landed(self, live: Live, task: int, item: int | None) -> None:
        """An attempt has ended, however: its slot is free, and who waits for its result may look."""
        options = live.state.plan.nodes[task].options
        if self.gate is not None and options.limits:
            self.gate.done(f"{live.key}/{address(live, task, item)}")
        if self.recall is not None and options.cache is not None:
            self.recall.landed()

    # pools

    def _know_setup(self, pool: PoolUse) -> None:
        """Raises ``CodeMissing`` where only a client could send the functions of a pool, and none has."""
        for ref in (pool.setup, pool.teardown):
            if ref is not None and ref.by_value:
                self.code.callable(ref)

    def _warmth(self, live: Live, node: Node, effect: StartAttempt) -> Warmth | None:
        """The state of the pool that an attempt runs in; a fallback runs outside of it."""
        assert node.options.pool is not None
        falls_back = node.fallback is not None and _falls_back(live, node, effect)
        return None if falls_back else self.pools.warmth(node.options.pool)

    def _warm_up(self, pool: PoolUse, live: Live, node: Node, effect: StartAttempt) -> Warming:
        """Set the pool up in this process; the attempt starts anew when it is."""
        warming = Warming(live, node, effect)
        self.pools.prepare(pool, functools.partial(self._warmed, warming))
        return warming

    def _warmed(self, warming: Warming, error: BaseException | None) -> None:
        live, effect, place = warming.live, warming.effect, (warming.effect.task, warming.effect.item)
        if live.inflight is None or live.inflight.get(place) is not warming:
            return
        if error is not None:
            failure = failure_of(error, effect.attempt, warming.node.options.retry.non_retryable)
            self.host.ended(live, effect.task, effect.item, effect.attempt, failure, effect.at)
            return
        del live.inflight[place]
        self.host.release(live, (effect,))

    # code that is not here

    def _not_started(self, live: Live, node: Node, effect: StartAttempt, error: Exception) -> Any:
        """Its arguments cannot be had: the class of a stored value is not here, or they are not what it takes."""
        if isinstance(error, CodeMissing):
            return self._wait_for_code(live, node, effect, error)
        return self._fail_soon(live, node, effect, error)

    def _wait_for_code(self, live: Live, node: Node, effect: StartAttempt, error: CodeMissing) -> Missing:
        missing = Missing(live, node, effect)
        self.missing.append(missing)
        self.loop.call_soon(self.host.note_missing, live, f"code: {error}")
        return missing

    def code_came(self) -> None:
        """New code is here: try again what waited for it."""
        waiting, self.missing = self.missing, []
        for each in waiting:
            if each.live.inflight is None or each.live.inflight.get((each.effect.task, each.effect.item)) is not each:
                continue
            del each.live.inflight[(each.effect.task, each.effect.item)]
            self.host.note_missing(each.live, None)
            self.host.release(each.live, (each.effect,))

    # arguments

    def context(self, live: Live, node: Node, effect: StartAttempt) -> TaskContext:
        notes = task_at(live.state, node.index, effect.item).notes or NO_NOTES
        mouth = Mouth(self.host.voices, live, effect)
        return TaskContext(
            *self._identity(live, node, effect),
            report=mouth.report,
            pass_on=mouth.pass_on,
            last_progress=None if notes.progress is None else self.evaluator.decode(notes.progress),
            emitted=notes.emitted,
            warm=None if node.options.pool is None else self._warmth(live, node, effect),
            aggregators=self.aggregators,
        )

    def _identity(self, live: Live, node: Node, effect: StartAttempt) -> tuple[str, str, int, str, datetime | None]:
        """The first fields of a ``TaskContext``: those that travel to a worker."""
        where = address(live, node.index, effect.item)
        deadline = None if live.row.deadline is None else datetime.fromtimestamp(live.row.deadline, UTC)
        return live.id, where, effect.attempt, key_of(live.state, live.id, where), deadline

    def columns(self, live: Live, node: Node) -> list[list[bytes]]:
        """The encoded positional arguments of a fan-out, computed once while it runs (in a loop: in this pass)."""
        if live.columns is None:
            live.columns = {}
        at = passes_of(live.state, node.index)
        found = live.columns.get(node.index)
        if found is None or found[0] != at:
            found = live.columns[node.index] = at, self.evaluator.columns(live.state, node)
        return found[1]

    def encoded_arguments(self, live: Live, node: Node, item: int | None) -> tuple[list[bytes], dict[str, bytes]]:
        """The arguments of an attempt as they are stored."""
        if item is not None:
            args = [column[item] for column in self.columns(live, node)]
        else:
            args = [self.evaluator.encoded(live.state, binding) for binding in node.args]
        return args, {name: self.evaluator.encoded(live.state, binding) for name, binding in node.kwargs}

    def arguments(self, live: Live, node: Node, item: int | None) -> tuple[list[Any], dict[str, Any]]:
        columns = None if item is None else self.columns(live, node)
        return self._arguments(live.state, node, item, columns)

    def _arguments(
        self, state: Any, node: Node, item: int | None, columns: list[list[bytes]] | None
    ) -> tuple[list[Any], dict[str, Any]]:
        evaluator = self.evaluator
        if columns is not None and item is not None:
            args = [evaluator.decode(column[item]) for column in columns]
        elif len(node.args) == 1:
            args = [evaluator.value(state, node.args[0])]
        else:
            args = [evaluator.value(state, binding) for binding in node.args]
        if not node.kwargs:
            return args, {}
        return args, {name: evaluator.value(state, binding) for name, binding in node.kwargs}

    # outcomes

    def _encoded(self, function: Function, result: Any) -> bytes:
        if type(result) is Continuation:
            self.code.have_grown(result.functions)
            return result.to_bytes()
        if function.coerce is not None:
            result = function.coerce(result)
        return pack(result, self.evaluator.blobs)

    def done(
        self,
        live: Live,
        node: Node,
        effect: StartAttempt,
        function: Function | Plain,
        result: Any,
        error: BaseException | None,
    ) -> None:
        """An attempt in this process has ended."""
        if isinstance(function, Plain):
            if error is None and function.landed(live, effect, result):
                return
            function = function.function
        outcome: bytes | Failure | None
        if error is None:
            if type(result) is bytes and not function.is_async:
                outcome = result  # a thread has encoded it already
            elif type(result) is function.exact and (small := values.encode_small(result)) is not None:
                outcome = small
            elif _is_big(result):
                encode = functools.partial(self._encoded, function, result)
                self.threads.start(encode, functools.partial(self._packed, live, node, effect))
                return
            else:
                try:
                    outcome = self._encoded(function, result)
                except Exception as failed:
                    outcome = failure_of(failed, effect.attempt, node.options.retry.non_retryable)
        elif isinstance(error, asyncio.CancelledError):
            outcome = None
        else:
            outcome = failure_of(error, effect.attempt, node.options.retry.non_retryable)
        self.host.ended(live, node.index, effect.item, effect.attempt, outcome, effect.at)

    def _packed(self, live: Live, node: Node, effect: StartAttempt, result: Any, error: BaseException | None) -> None:
        policy = node.options.retry
        outcome = result if error is None else failure_of(error, effect.attempt, policy.non_retryable)
        self.host.ended(live, node.index, effect.item, effect.attempt, outcome, effect.at)


def _is_big(result: Any) -> bool:
    """Whether encoding this may take long or touch a disk: then it happens in a thread."""
    kind = type(result)
    if kind is int or kind is bool or result is None or kind is float:
        return False
    if kind in (str, bytes, bytearray):
        return len(result) > INLINE_LIMIT
    if kind in (list, dict):
        return len(result) > 2000
    return bool(getattr(result, "nbytes", 0) > INLINE_LIMIT)
