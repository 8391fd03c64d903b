"""What a task in a Ray worker says while it runs, on its way to the actor that owns its execution.

A thread sends what has been said, one message at a time and at most ten a second; what is left goes along with the
outcome, so nothing is said after the end. A message that was not answered is sent again, and the owner drops what it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from raywf.errors import AttemptEnded
from raywf.runtime.speech import Speech

Tell = Callable[[tuple[str, str], tuple[Any, ...]], bool]
"""Send words of an attempt to an actor (name, namespace) and wait for its answer: whether the attempt counts still."""

EVERY_S = 0.1


class Speaker:
    """Speaks for one attempt. ``place`` says which, in the owner's words."""

    def __init__(self, tell: Tell, listener: tuple[str, str], place: tuple[int, int], emitted: int) -> None:
        self._tell, self._listener, self._place = tell, listener, place
        self._speech = Speech(emitted)
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._beat = self._over = self._closed = False

    def report(self, progress: Any) -> None:
        self._check()
        if progress is not None:
            self._speech.report(progress)
        self._say()

    def pass_on(self, item: Any, number: int | None) -> None:
        self._check()
        self._speech.emit(item, number)
        self._say()

    def _check(self) -> None:
        if self._over:
            raise AttemptEnded("this attempt counts no more: it was cancelled or ran out of time. Stop, and clean up")

    def _say(self) -> None:
        self._beat = True
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="raywf-speaker", daemon=True)
            self._thread.start()

    def _send(self) -> None:
        pause = threading.Event()
        while self._wanted.wait() and not self._closed:
            self._wanted.clear()
            progress, first, items = self._speech.take()
            try:
                self._over = not self._tell(self._listener, (*self._place, progress, first, items))
            except (
                Exception
            ):  # the owner is away: its successor starts the task anew; or it was a moment, and is tried again
                self._speech.give_back(progress, items)
                self._wanted.set()
                pause.wait(1.0)
            pause.wait(EVERY_S)

    def close(self) -> tuple[str | None, int, list[str]] | None:
        """Say no more. Returns what was not sent yet."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
        progress, first, items = self._speech.take()
        if progress is None and not items:
            return None
        return None if progress is None else progress.decode(), first, [item.decode() for item in items]
