"""A merge that asks, in pieces: what to ask, and what the replies come to, as functions of what was recorded.

`ResultAggregator.resolve` asks in one breath. A workflow does not: each judge, each further source and each person is a task
of its own, and what they said is in the history. So the merge between them is told what there is so far, and goes over it
again; the same replies lead to the same questions, because everything in `judging` and `resolving` is a function of who said what.

These functions are tasks that `raywf.aggregate` adds to a workflow. Their names and parameters are in stored definitions:
they may gain parameters with defaults, and nothing else.
"""

from dataclasses import replace
from typing import Any

from raywf.aggregation.ballot import collect
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.judging import Failed, Judge, Jury, Question, Settings, Synthesis, hearing
from raywf.aggregation.resolving import decided_by_person, may_help
from raywf.aggregation.result import AggregateResult
from raywf.errors import InvalidInput

NO_REPLY = {"$raywf": "no reply"}
"""What stands for the reply of a judge whose attempts are used up."""


def no_reply(answers: list[Any]) -> dict[str, str]:
    """In place of a judge, or a writer, that fails: one voice less, and no reason to fail a workflow."""
    return dict(NO_REPLY)


def to_ask(merged: AggregateResult, how: dict[str, Any], name: str, said: dict[str, Any]) -> list[list[Any]]:
    """The lists of answers that the judge `name` has to be asked about, after what was `said`; the writer is "".

    Nothing where all agree, or nobody answered.
    """
    if merged.value is None:
        return []
    work = hearing(_settings(how), collect(merged.candidates()), merged, 0.5)
    asked = _after(work, said)
    if not isinstance(asked, list):
        return []
    return [question.answers for question in asked if name in (question.name, "") or _is_writer(question)]


def heard(merged: AggregateResult, how: dict[str, Any], accept_at: float, said: dict[str, Any]) -> AggregateResult:
    """What the replies, by the name of the judge and in the order of the questions, come to."""
    if merged.value is None:
        return merged
    work = hearing(_settings(how), collect(merged.candidates()), merged, accept_at)
    found = _after(work, said)
    if isinstance(found, list):
        raise InvalidInput(f"{', '.join(sorted({each.name for each in found}))} did not reply, and had to be asked")
    assert isinstance(found, AggregateResult)
    return found


def more_may_help(merged: AggregateResult) -> bool:
    """Whether asking one source more could settle it: answers contradict, or are too few."""
    return may_help(merged)


def candidates_of(merged: AggregateResult) -> list[Candidate]:
    """What went into a merge, to go into another one with more."""
    return merged.candidates()


def by_person(merged: AggregateResult, approved: bool, why: str = "a person said no") -> AggregateResult:
    """The answer that a person let stand; or did not, and then it is escalated still."""
    return decided_by_person(merged, merged.value) if approved else replace(merged, decision="escalated", why=why)


def no_answer(merged: AggregateResult) -> AggregateResult:
    """Rather none than a doubtful one."""
    why = f"{merged.confidence:.2f} is not enough, and nobody is left to ask: no answer"
    return replace(merged, value=None, confidence=0.0, decision="abstained", why=why, probs=())


def _settings(how: dict[str, Any]) -> Settings:
    judges = [Judge(_nobody, name, swap) for name, swap in how["judges"]]
    judging = Jury(*judges) if how["kind"] == "jury" or how.get("jury") else judges[0] if judges else None
    if how["kind"] == "synthesis":
        return Synthesis(_nobody, judging)
    assert judging is not None
    return judging


def _nobody(answers: list[Any]) -> Any:
    raise AssertionError("who is asked is a task of the workflow")


def _is_writer(question: Question) -> bool:
    return question.name == "the writer"


def _after(work: Any, said: dict[str, Any]) -> Any:
    """Where a hearing stands after what was said: the questions that are open, or its result."""
    left = {name: list(replies) for name, replies in said.items()}
    asked: Any = None
    try:
        asked = next(work)
        while all(left.get(question.name) for question in asked):
            asked = work.send([_reply(left[question.name].pop(0)) for question in asked])
    except StopIteration as done:
        return done.value
    return asked


def _reply(reply: Any) -> Any:
    return Failed("its attempts are used up: the history has its error") if reply == NO_REPLY else reply
