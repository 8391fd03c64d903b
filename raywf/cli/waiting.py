"""Still waiting: when to leave, and what to say then (exit code 5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from raywf.cli.exits import ExitCode
from raywf.cli.following import Ask, Follower, asks_of
from raywf.cli.output import note, with_local_times
from raywf.cli.persons import left_to_persons
from raywf.cli.place import Place
from raywf.cli.showing import ask_commands, takers_of

PATIENCE_S = 2.0
"""So long it must hang on a person before that counts: an answer on its way is taken within 0.2 s."""

ABSENCE_S = 5.0
"""So long nobody must hold it before that counts: an owner that died is replaced within the lease of 3 s."""


class Held:
    """For how long something has been so without a break."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def lasts(self, so: bool, seconds: float) -> bool:
        """Whether it is so now, and has been at every look of the last ``seconds``."""
        now = self._clock()
        if not so:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= seconds


@dataclass(frozen=True, slots=True)
class Reason:
    """Why to stop waiting. ``asks`` are the approvals that everything hangs on."""

    text: str
    asks: tuple[Ask, ...] = ()


class Patience:
    """Decides when waiting makes no sense any more. With ``timeout_s`` only the time counts.

    ``engine_is_ours``: an engine lives as long as we wait, so nobody has to look for one.
    """

    def __init__(
        self,
        follower: Follower,
        timeout_s: float | None,
        *,
        persons_answer: bool = False,
        engine_is_ours: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._follower = follower
        self._timeout_s = timeout_s
        self._give_up_at = None if timeout_s is None else clock() + timeout_s
        self._persons_answer = persons_answer
        self._engine_is_ours = engine_is_ours
        self._clock = clock
        self._for_persons = Held(clock)
        self._without_engine = Held(clock)

    async def spent(self) -> Reason | None:
        """Why to leave now; None: go on waiting."""
        follower = self._follower
        if self._give_up_at is not None:
            if self._clock() < self._give_up_at:
                return None
            asks = tuple(asks_of(follower.id, follower.state))
            return Reason(f"has not ended within {self._timeout_s:g} s", asks)
        if not self._engine_is_ours:
            takers = await takers_of(follower.readings, follower.row.lane)
            if self._without_engine.lasts(not takers, ABSENCE_S):
                return Reason("no engine holds it", tuple(asks_of(follower.id, follower.state)))
        if not self._persons_answer:
            asks = tuple(await left_to_persons(follower.readings, follower.id, follower.state))
            if self._for_persons.lasts(bool(asks), PATIENCE_S):
                return Reason("only a person can go on", asks)
        return None


async def say_still_waiting(
    follower: Follower, reason: Reason, place: Place, *, again: tuple[str, ...] | None = None
) -> ExitCode:
    """The id, why, and the next commands, on stderr. ``again`` runs the same workflow with the same input."""
    row = follower.row
    what = f"; it waits for {with_local_times(row.waiting_for)}" if row.waiting_for else ""
    note(f"raywf: execution {follower.id} is {follower.status}, and {reason.text}{what}")
    commands = ask_commands(list(reason.asks), place)
    if await takers_of(follower.readings, row.lane):
        commands.append(place.command("result", follower.id))
    else:
        commands.append(place.command("run", *(again or ("TARGET",)), "--id", follower.id))
    note("next:", *(f"  {each}" for each in commands))
    return ExitCode.WAITING
