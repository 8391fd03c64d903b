"""A judge chooses among the answers, several judges vote, a writer makes one of all: strategies that ask somebody.

The port is one function, `ask(answers) -> reply`: sync or async, a `@task`, a call of any model. It gets the different answers,
each once and without their sources, and replies in any of these ways:

    1                             the number of an answer, from 0
    "B", "The answer is (B)"      its letter, A for the first; or the answer itself, word for word
    [0.2, 0.9]                    a score for each answer; the highest wins, equals are a tie
    "tie"                         all are equally good
    None, "none"                  none of them is right
    {"choice": any of these, "confidence": 0.8}

Everything else is nonsense and counts for nothing, as does a judge that raises.

**Position.** Models prefer what stands first (or last), whatever it says. So each judge is asked twice, the second time in
reverse order, where every answer stands behind all those it stood before. A choice that survives is one vote; one that does not is
half a vote for each (Zheng et al. 2023, "Judging LLM-as-a-judge"). **Juries.** Several small judges of different families agree
with people better than one large one, and cost less (Verga et al. 2024, "Replacing judges with juries").

Pure: `questions` says what to ask, `decide` what the replies come to. Who asks, and how many at once, is the caller's.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from raywf.aggregation.account import conflicts_with, contributions, unit
from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.candidates import Candidate, check_probability
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.text import extract_answer, likeness
from raywf.errors import InvalidInput

ANSWERS_UP_TO = 26
"""Answers that a judge is shown, those with most weight behind them: there are so many letters, and nobody compares more."""


@dataclass(frozen=True, slots=True)
class Judge:
    """The strategy "judge": `ask` chooses among the answers. `swap=False` asks once only, for judges that know no position.

    `name` is what it is called in the result, by default the function's name. Raises `InvalidInput` for what cannot be called.
    """

    ask: Callable[[list[Any]], Any]
    name: str = ""
    swap: bool = True

    def __post_init__(self) -> None:
        _check_callable(self.ask, "a judge")
        if not self.name:
            object.__setattr__(self, "name", str(getattr(self.ask, "__name__", "judge")))


@dataclass(frozen=True, slots=True)
class Jury:
    """The strategy "jury": several judges vote. Raises `InvalidInput` without judges, and for two of one name."""

    judges: tuple[Judge, ...]

    def __init__(self, *judges: Any) -> None:
        found = tuple(judge if isinstance(judge, Judge) else Judge(judge) for judge in judges)
        names = [judge.name for judge in found]
        if not found:
            raise InvalidInput(
                "a jury without judges decides nothing; give it at least one, as in Jury(ask_one, ask_another)"
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(
                f"two judges are called {twice!r}, and one could not tell who said what; give one a name: Judge(ask, name=…)"
            )
        object.__setattr__(self, "judges", found)


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The strategy "synthesis": `write(answers)` makes one answer of all.

    `judge`, a `Judge` or `Jury`, then chooses between what was written and what was given: mixing loses to the best single answer
    often enough (Li et al. 2025, "Rethinking mixture-of-agents"). Without a judge nothing was compared with anything, and the result
    is escalated.
    """

    write: Callable[[list[Any]], Any]
    judge: Any = None

    def __post_init__(self) -> None:
        _check_callable(self.write, "what writes the answer")
        if self.judge is not None and not isinstance(self.judge, Judge | Jury):
            object.__setattr__(self, "judge", Judge(self.judge))


Judging: TypeAlias = Judge | Jury


class Question(NamedTuple):
    """What to ask whom: `ask(answers)`; `order` are the places of these answers among those of `shown`."""

    name: str
    ask: Callable[[list[Any]], Any]
    answers: list[Any]
    order: tuple[int, ...]


class Failed(NamedTuple):
    """In place of a reply: the judge raised, and why."""

    why: str


class _Heard(NamedTuple):
    """What one judge said, over its orders: shares of its one vote, how sure it is, and what there is to say of it."""

    name: str
    shares: dict[Key, float]
    none: float
    confidence: float | None
    notes: tuple[str, ...]


def shown(ballot: Ballot) -> list[Key]:
    """The answers that judges are shown, by a lot that depends on who said what: no source always stands first."""
    voted = {vote.key for vote in ballot.votes}
    heaviest = sorted(voted, key=lambda key: (-round(ballot.voted(key), 12), ballot.draw(key)))[:ANSWERS_UP_TO]
    return sorted(heaviest, key=ballot.draw)


def questions(judging: Judging, ballot: Ballot) -> list[Question]:
    """What to ask, in order; nothing where all say the same."""
    keys = shown(ballot)
    if len(keys) < 2:
        return []
    judges = judging.judges if isinstance(judging, Jury) else (judging,)
    forwards = tuple(range(len(keys)))
    return [
        Question(judge.name, judge.ask, [ballot.values[keys[at]] for at in order], order)
        for judge in judges
        for order in ((forwards, forwards[::-1]) if judge.swap else (forwards,))
    ]


def decide(
    judging: Judging,
    ballot: Ballot,
    asked: Sequence[Question],
    replies: Sequence[Any],
    vote: AggregateResult,
    accept_at: float,
) -> AggregateResult:
    """What the replies, one per question, come to. `vote` is what the sources say without a judge: it stands, escalated, where no
    judge gave a reply that can be read.

    The confidence is that of a vote of so many judges, none surer than it says it is; it was compared with nothing.
    """
    name = "jury" if isinstance(judging, Jury) else "judge"
    if not asked:
        return replace(vote, strategy=name, why="all say the same, so no judge was asked")
    keys = shown(ballot)
    heard = _heard(asked, replies, keys)
    notes = tuple(f"{each.name}: {note}" for each in heard for note in each.notes)
    valid = [each for each in heard if each.shares or each.none]
    if not valid:
        why = "no judge gave a reply that can be read, so the vote of the sources stands"
        return replace(vote, strategy=name, decision="escalated", why=why, insights=(*vote.insights, *notes))
    said = [sum(each.shares.values()) + each.none for each in valid]
    against = math.fsum(each.none for each in valid)
    shares = {key: math.fsum(each.shares.get(key, 0.0) for each in valid) for key in keys}
    if against > max(shares.values()):
        why = f"{against:g} of {len(heard)} judges say that none of {len(keys)} answers is right"
        return _nothing(ballot, name, why, notes)
    ranked = sorted(keys, key=lambda key: (-round(shares[key], 12), -round(ballot.voted(key), 12), ballot.draw(key)))
    sure = {
        key: math.fsum(
            each.shares.get(key, 0.0) * (1.0 if each.confidence is None else each.confidence) for each in valid
        )
        for key in keys
    }
    votes, outcomes = math.fsum(said), max(len(keys) + (against > 0), 2)
    scores = {key: (sure[key] + 1 / outcomes) / (votes + 1) for key in keys}
    best = ranked[0]
    tied = round(shares[best], 12) == round(shares[ranked[1]], 12)
    why = f"{shares[best]:g} of {len(heard)} judges for it" + (
        "; a tie, settled by the votes of the sources" if tied else ""
    )
    return chosen(ballot, best, [(key, scores[key]) for key in ranked], name, why, notes, accept_at)


def chosen(
    ballot: Ballot,
    best: Key,
    scores: Sequence[tuple[Key, float]],
    name: str,
    why: str,
    notes: tuple[str, ...],
    accept_at: float,
) -> AggregateResult:
    """The result with the answer that a judge chose."""
    confidence = unit(dict(scores)[best])
    return AggregateResult(
        value=ballot.values[best],
        confidence=confidence,
        calibrated=False,
        quality=unit(ballot.support(best) * len(ballot.votes) / len(ballot.candidates)),
        agreement=unit(ballot.voted(best)),
        conflicts=conflicts_with(ballot, best),
        provenance=contributions(ballot, best),
        decision="accepted" if confidence >= accept_at else "escalated",
        strategy=name,
        probs=tuple((ballot.values[key], unit(score)) for key, score in scores),
        why=why,
        insights=notes,
    )


def _nothing(ballot: Ballot, name: str, why: str, notes: tuple[str, ...]) -> AggregateResult:
    return AggregateResult(
        value=None, confidence=0.0, calibrated=False, quality=0.0, agreement=0.0, conflicts=conflicts_with(ballot, None),
        provenance=contributions(ballot, None), decision="abstained", strategy=name, probs=(), why=why, insights=notes,
    )  # fmt: skip


def _heard(asked: Sequence[Question], replies: Sequence[Any], keys: list[Key]) -> list[_Heard]:
    by_judge: dict[str, list[tuple[Question, Any]]] = {}
    for question, reply in zip(asked, replies, strict=True):
        by_judge.setdefault(question.name, []).append((question, reply))
    found = []
    for name, parts in by_judge.items():
        shares: dict[Key, float] = {}
        none, claims, notes, choices = 0.0, [], [], []
        for question, reply in parts:
            try:
                places, claim = read(reply, question.answers)
            except InvalidInput as error:
                notes.append(str(error))
                continue
            if claim is not None:
                claims.append(claim)
            choices.append(frozenset(question.order[place] for place in places))
            if not places:
                none += 1 / len(parts)
            for place in places:
                key = keys[question.order[place]]
                shares[key] = shares.get(key, 0.0) + 1 / len(parts) / len(places)
        if len(set(choices)) > 1:
            notes.append("says otherwise when the answers stand in reverse order, so its vote is divided")
        found.append(_Heard(name, shares, none, min(claims, default=None), tuple(notes)))
    return found


def read(reply: Any, answers: Sequence[Any]) -> tuple[list[int], float | None]:
    """The places that a reply chooses ([] for none of them), and how sure it says it is. Raises `InvalidInput` for nonsense."""
    claim = None
    if isinstance(reply, Failed):
        raise InvalidInput(f"failed ({reply.why:.200})")
    if isinstance(reply, Mapping) and "choice" in reply and not any(reply is answer for answer in answers):
        claim = reply.get("confidence")
        if claim is not None:
            check_probability(claim, "its confidence")
        reply = reply["choice"]
    if isinstance(reply, str) and reply.strip().casefold() in ("tie", "none"):
        return ([] if reply.strip().casefold() == "none" else list(range(len(answers)))), claim
    if reply is None:
        return [], claim
    same = [place for place, answer in enumerate(answers) if identity(answer) == identity(reply)]
    if isinstance(reply, int) and not isinstance(reply, bool):
        if 0 <= reply < len(answers):
            return [reply], claim
    elif same:
        return same, claim
    elif isinstance(reply, str):
        stated = reply.strip().strip("()*.:").upper()
        letter = stated if len(stated) == 1 else extract_answer(reply) or ""
        if len(letter) == 1 and 0 <= ord(letter) - ord("A") < len(answers):
            return [ord(letter) - ord("A")], claim
    elif isinstance(reply, list | tuple) and len(reply) == len(answers) and all(_is_number(score) for score in reply):
        best = max(reply)
        return [place for place, score in enumerate(reply) if score == best], claim
    raise InvalidInput(f"replied {reply!r:.80}, which chooses none of {len(answers)} answers")


def _is_number(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)


def _check_callable(value: object, what: str) -> None:
    if not callable(value):
        raise InvalidInput(f"{what} is a function or a task that takes a list of answers, but it is {value!r:.80}")


def written(ballot: Ballot, text: Any, vote: AggregateResult, accept_at: float) -> AggregateResult:
    """What a writer made of the answers, compared with nothing yet: escalated, and as sure as what it says is like the answers."""
    if text is None or isinstance(text, Failed):
        why = f"nothing was written ({text.why:.200})" if isinstance(text, Failed) else "the writer gave nothing"
        return replace(
            vote, strategy="synthesis", decision="escalated", why=f"{why}, so the vote of the sources stands"
        )
    key = identity(text)
    if key in ballot.values:
        share = ballot.voted(key)
    else:
        likely = (
            [vote.share * likeness(text, str(ballot.values[vote.key])) for vote in ballot.votes]
            if isinstance(text, str)
            else []
        )
        share = math.fsum(likely)
    votes = len(ballot.votes)
    return AggregateResult(
        value=text, confidence=unit(share * votes / (votes + 1)), calibrated=False,
        quality=unit(share * len(ballot.votes) / len(ballot.candidates)), agreement=unit(ballot.voted(key)),
        conflicts=conflicts_with(ballot, key), provenance=contributions(ballot, key), decision="escalated",
        strategy="synthesis", probs=(), why="written from all answers, and compared with nothing",
    )  # fmt: skip


Settings: TypeAlias = Judge | Jury | Synthesis


def hearing(
    how: Settings, ballot: Ballot, vote: AggregateResult, accept_at: float
) -> Generator[list[Question], list[Any], AggregateResult]:
    """Asks and decides: yields questions, takes a reply or a `Failed` for each. `vote` is what the sources say without anybody."""
    if not isinstance(how, Synthesis):
        asked = questions(how, ballot)
        replies = (yield asked) if asked else []
        return decide(how, ballot, asked, replies, vote, accept_at)
    keys = shown(ballot)
    (text,) = yield [Question("the writer", how.write, [ballot.values[key] for key in keys], tuple(range(len(keys))))]
    alone = written(ballot, text, vote, accept_at)
    if how.judge is None or alone.value is None or isinstance(text, Failed) or text is None:
        return alone
    two = collect([Candidate(vote.value, "the sources"), Candidate(text, "the writer")])
    asked = questions(how.judge, two)
    replies = (yield asked) if asked else []
    found = decide(how.judge, two, asked, replies, vote if asked else alone, accept_at)
    if not asked or found.value is None:
        return replace(found, strategy="synthesis")
    key = identity(found.value)
    return replace(
        found, strategy="synthesis", agreement=unit(ballot.voted(key)), conflicts=conflicts_with(ballot, key),
        provenance=contributions(ballot, key),
    )  # fmt: skip


def ask_now(asked: Sequence[Question]) -> list[Any]:
    """The replies of judges that are plain functions. Raises `InvalidInput` for one that has to be awaited."""
    return [_reply(question) for question in asked]


def _reply(question: Question) -> Any:
    try:
        reply = question.ask(list(question.answers))
    except Exception as error:  # a judge that fails is one voice less, whatever it raises
        return Failed(f"{type(error).__name__}: {error}")
    if hasattr(reply, "__await__"):
        if hasattr(reply, "close"):
            reply.close()
        raise InvalidInput(f"{question.name!r} has to be awaited: write await aggregator.merge_async(…)")
    return reply


async def asked_later(question: Question) -> Any:
    """The reply of a judge, awaited where it has to be."""
    try:
        reply = question.ask(list(question.answers))
        return await reply if hasattr(reply, "__await__") else reply
    except Exception as error:  # as above; a cancellation is no Exception and goes on
        return Failed(f"{type(error).__name__}: {error}")
