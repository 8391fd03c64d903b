"""``raywf.patterns``: shapes that workflows have again and again, each a few lines of what a body may say anyway.

They are called in the body of a workflow, take tasks, and leave ordinary tasks in the graph. Raise ``DefinitionError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from raywf.definition.flow import approval, gather
from raywf.definition.lines import user_line
from raywf.definition.options import Retry
from raywf.definition.tasks import Callee, Task, task
from raywf.errors import DefinitionError


def fan_out(tasks: Sequence[Any], /, *args: Any, **kwargs: Any) -> list[Any]:
    """Several tasks with the same arguments, side by side; a list of their results in the order given."""
    return gather(*(each(*args, **kwargs) for each in _tasks("fan_out", tasks)))


def map_reduce(mapped: Any, reduced: Any, items: Any, /, **same: Any) -> Any:
    """``mapped`` over the items, side by side, and ``reduced`` of the list of results. ``same`` goes to every call."""
    _tasks("map_reduce", (mapped, reduced))
    return reduced(mapped.map(items, **same))


def saga(steps: Sequence[Any], value: Any, /) -> Any:
    """Steps one after another, each with what takes it back: ``[(book, unbook), (pay, refund)]``. Each gets the result of the
    one before. When one fails, those that have completed are taken back, newest first. None: nothing takes it back."""
    for at, step in enumerate(steps):
        if not isinstance(step, tuple) or len(step) != 2:
            raise DefinitionError(
                f"{user_line()}: patterns.saga: step {at} is {step!r:.80}: write (do, undo), or (do, None) where nothing takes it back"
            )
        do, undo = step
        _tasks("saga", (do,))
        value = (do if undo is None else do.with_options(compensate=undo))(value)
    return value


def human_in_the_loop(
    produced: Any, prompt: str, /, *args: Any, timeout: float | timedelta | None = None, **kwargs: Any
) -> Any:
    """A task whose result a person looks at before anybody uses it. Rejection, or no answer within ``timeout`` seconds,
    fails the approval."""
    _tasks("human_in_the_loop", (produced,))
    return approval(prompt, data=produced(*args, **kwargs), timeout=timeout)


def retry_with_fallback(
    first: Any, other: Callable[..., Any], /, *args: Any, attempts: int = 3, timeout: float | None = None, **kwargs: Any
) -> Any:
    """Up to so many attempts of ``first``, then one of ``other`` with the same arguments."""
    _tasks("retry_with_fallback", (first,))
    options = first.with_options(retry=Retry(max_attempts=attempts), fallback=other, timeout=timeout)
    return options(*args, **kwargs)


@dataclass(frozen=True)
class Absent:
    """Stands for an answer that did not come."""


async def absent(*args: Any, **kwargs: Any) -> Absent:
    """What takes the place of a task of ``scatter_gather`` that failed."""
    return Absent()


@task(name="quorum")
async def answers(results: list[Any], quorum: int) -> list[Any]:
    """The answers that came. Raises ``ValueError`` where they are fewer than the quorum."""
    came = [each for each in results if not isinstance(each, Absent)]
    if len(came) < quorum:
        raise ValueError(f"{len(came)} of {len(results)} have answered, and the quorum is {quorum}")
    return came


def scatter_gather(
    tasks: Sequence[Any], /, *args: Any, quorum: int, timeout: float | None = None, **kwargs: Any
) -> list[Any]:
    """Several tasks with the same arguments, of which some may fail: the list of the answers that came, in the order given,
    once all have ended (``timeout``: seconds each may take). Fewer than ``quorum`` fail the workflow."""
    several = _tasks("scatter_gather", tasks)
    given: Any = quorum
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= len(several):
        raise DefinitionError(
            f"{user_line()}: patterns.scatter_gather: quorum={quorum!r} of {len(several)} tasks: it is a whole number from 1 to "
            f"{len(several)}"
        )
    options = [each.with_options(fallback=absent, timeout=timeout) for each in several]
    return answers(gather(*(each(*args, **kwargs) for each in options)), quorum)


def _tasks(who: str, given: Any) -> list[Any]:
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    wanted = Task if who in ("saga", "retry_with_fallback", "scatter_gather") else Callee
    for each in several:
        if not isinstance(each, wanted):
            name = getattr(each, "__name__", None)
            what = f"the function {name!r}" if callable(each) and name else f"{each!r:.60}"
            raise DefinitionError(
                f"{user_line()}: patterns.{who} takes tasks, uncalled, not {what}: mark it @task, and leave the call out"
            )
    if not several:
        raise DefinitionError(f"{user_line()}: patterns.{who} was given no task")
    return several


__all__ = ["fan_out", "human_in_the_loop", "map_reduce", "retry_with_fallback", "saga", "scatter_gather"]
