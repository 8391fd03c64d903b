"""A failure as data: what went wrong in an attempt, in a form that survives every process boundary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt, a task or an execution failed. Plain data: never a pickled exception.

    ``type`` is the qualified name of the exception class, ``traceback`` its text, ``attempt`` the attempt's number
    (0 when no attempt was involved), ``retryable`` whether trying again can help. ``retry_after``: not sooner than so many
    seconds after it, because whoever was asked has said so.
    """

    type: str
    message: str
    traceback: str = ""
    attempt: int = 0
    retryable: bool = True
    retry_after: float | None = None

    def to_data(self) -> dict[str, object]:
        data: dict[str, object] = {
            "type": self.type,
            "message": self.message,
            "traceback": self.traceback,
            "attempt": self.attempt,
            "retryable": self.retryable,
        }
        return data if self.retry_after is None else {**data, "retry_after": self.retry_after}

    @classmethod
    def from_data(cls, data: dict[str, object]) -> Failure:
        return cls(
            type=str(data["type"]),
            message=str(data["message"]),
            traceback=str(data.get("traceback", "")),
            attempt=int(str(data.get("attempt", 0))),
            retryable=bool(data.get("retryable", True)),
            retry_after=None if data.get("retry_after") is None else float(str(data["retry_after"])),
        )
