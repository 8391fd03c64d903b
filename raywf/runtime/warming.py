"""The pools of a process that runs its tasks itself (``raywf.testing``): each is set up once, in this process.

What a crew does with many workers is done here with one: a setup that fails is tried ``core.crews.TRIES`` times with the same
pauses, and then those that wait are told.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from raywf.core.crews import Setbacks
from raywf.core.plan import PoolUse
from raywf.definition.warmth import Warmth
from raywf.errors import SetupFailed
from raywf.runtime.code import Code

Then = Callable[[BaseException | None], None]


class LocalPools:
    """Makes the state of pools, on this loop."""

    def __init__(self, code: Code, loop: asyncio.AbstractEventLoop) -> None:
        self._code = code
        self._loop = loop
        self._ready: dict[str, Warmth] = {}
        self._waiting: dict[str, list[Then]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def warmth(self, pool: PoolUse) -> Warmth | None:
        """The state of a pool, once it has been set up."""
        return self._ready.get(pool.name)

    def prepare(self, pool: PoolUse, then: Then) -> None:
        """Set a pool up, once for all who ask meanwhile, and call ``then`` on the loop: with None, or with what became of
        it."""
        if pool.name in self._waiting:
            self._waiting[pool.name].append(then)
            return
        self._waiting[pool.name] = [then]
        task = self._loop.create_task(self._set_up(pool))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_up(self, pool: PoolUse) -> None:
        setbacks, error = Setbacks(), None
        while not setbacks.is_given_up:
            started_at = self._loop.time()
            try:
                async with asyncio.timeout(pool.rule.setup_timeout):
                    self._ready[pool.name] = await self._made(pool)
                error = None
                break
            except TimeoutError as ran_out:
                error = _failed(pool, ran_out, f"it did not return within setup_timeout={pool.rule.setup_timeout:g} s")
            except Exception as raised:
                error = _failed(pool, raised, f"{type(raised).__name__}: {raised}")
            now = self._loop.time()
            setbacks = setbacks.after(started_at, now)
            await asyncio.sleep(0 if setbacks.is_given_up else setbacks.retry_at - now)
        for then in self._waiting.pop(pool.name):
            then(error)

    async def _made(self, pool: PoolUse) -> Warmth:
        if pool.setup is None:
            return Warmth(pool.name, None, None)
        setup = self._code.callable(pool.setup)
        state: Any = setup()
        return Warmth(pool.name, setup, await state if inspect.isawaitable(state) else state)


def _failed(pool: PoolUse, cause: BaseException, words: str) -> SetupFailed:
    path = pool.setup.path if pool.setup is not None else "without a setup"
    error = SetupFailed(f"setup {path} of pool {pool.name!r} failed again and again, the last time: {words}")
    error.__cause__ = cause
    return error
