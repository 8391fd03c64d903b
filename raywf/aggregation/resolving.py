"""Sources differ. Who is asked next, and when is enough enough? A policy decides; somebody else asks.

    Policy(MoreSamples("small#2", "small#3"), TieBreak("large"), AskJudge(judge), AskPerson("Which one?"), Abstain())

The steps are taken in order, as long as the result is not accepted: every further sample and every tie-break source joins the vote; a judge
(`raywf.aggregation.judging`) chooses among what was said; a person has the last word; `Abstain` says that no answer is better than a
doubtful one. Where the steps end, the result stands as it is, escalated.

Some differences are none. Before anything is asked, `reconciled` counts values together that mean the same:

    format        "1,000" and 1000, "New-York" and "new york"        the spelling with most weight stands for both
    unit          "5 kg" and "5000 g", within 0.5 %                  likewise
    granularity   "Paris" and "Paris, France"                        the general one supports the only value that is more specific

Which of these a merge does, `ResultAggregator(reconcile=("format", "unit"))` says. Granularity is worth its name only where the specific is
wanted: birthplaces were right more often with it, and less precise judges liked them less.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.conflicts import conflict_kind, contains
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.judging import Judge, Jury, Question, hearing
from raywf.aggregation.result import AggregateResult, Conflict, ConflictKind, Contribution
from raywf.errors import InvalidInput

RECONCILED: tuple[ConflictKind, ...] = ("format", "unit", "granularity")
COMPARED_UP_TO = 200
"""Different values that are looked at in pairs; beyond, they stay as they are."""
StepKind: TypeAlias = Literal["done", "sample", "tie_break", "judge", "person", "abstain"]


def _is_named(source: Any) -> bool:
    """By its name; or, in a workflow, by a callable that calls its task (`raywf.aggregate(policy=)`)."""
    return (isinstance(source, str) and source != "") or callable(source)


@dataclass(frozen=True, slots=True)
class MoreSamples:
    """Ask these sources, one after another, until the result is accepted. They only help where answers contradict or are missing:
    a difference of format, unit or granularity does not go away by asking again."""

    sources: tuple[Any, ...]

    def __init__(self, *sources: Any) -> None:
        if not sources or not all(map(_is_named, sources)):
            raise InvalidInput(
                f"MoreSamples takes the names of sources, as in MoreSamples('small#2'), not {sources!r:.80}"
            )
        object.__setattr__(self, "sources", sources)


@dataclass(frozen=True, slots=True)
class TieBreak:
    """Ask one source more, a better and dearer one; `weight` is its weight in the vote."""

    source: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not _is_named(self.source):
            raise InvalidInput(f"TieBreak takes the name of a source, as in TieBreak('large'), not {self.source!r:.80}")
        Candidate(None, "source", weight=self.weight)  # refused now, and not when the tie is there


@dataclass(frozen=True, slots=True)
class AskJudge:
    """Have a judge or a jury choose among the answers."""

    judging: Any

    def __post_init__(self) -> None:
        if not isinstance(self.judging, Judge | Jury):
            object.__setattr__(self, "judging", Judge(self.judging))


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Have a person decide: the answer stands, whatever the vote was. In a workflow it is an approval of the answer that the
    sources gave, and `timeout` seconds without one are a no; elsewhere `timeout` means nothing."""

    prompt: str = "The sources differ. Which answer is right?"
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Abstain:
    """Give no answer rather than a doubtful one."""


class Step(NamedTuple):
    """What to do next, whom to ask (`source`), and why."""

    kind: StepKind
    source: str
    why: str
    ask: Any = None
    """The policy's own value: its judge, its prompt, its weight."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about a result that is not accepted, in order."""

    steps: tuple[Any, ...]

    def __init__(self, *steps: Any) -> None:
        for step in steps:
            if not isinstance(step, MoreSamples | TieBreak | AskJudge | AskPerson | Abstain):
                raise InvalidInput(
                    f"a policy is made of MoreSamples, TieBreak, AskJudge, AskPerson and Abstain, not of {type(step).__name__} {step!r:.60}"
                )
        object.__setattr__(self, "steps", steps)

    def next(self, result: AggregateResult, asked: Sequence[str] = ()) -> Step:
        """What to do about `result`; `asked` are the `source` of the steps that were taken. A function of the two, nothing else."""
        if result.decision == "accepted":
            return Step("done", "", "the answer is accepted")
        taken = {*asked, *(part.source for part in result.provenance)}
        doubt = f"{result.confidence:.2f} is not enough" if result.value is not None else "nobody gave an answer"
        for step in self.steps:
            match step:
                case MoreSamples(sources):
                    left = next((source for source in sources if source not in taken), None)
                    if left is not None and may_help(result):
                        return Step("sample", left, f"{doubt}: ask {left!r} too", step)
                case TieBreak(source) if source not in taken and may_help(result):
                    return Step("tie_break", source, f"{doubt}: {source!r} breaks the tie", step)
                case AskJudge() if (
                    "judge" not in asked and (result.conflicts or not result.parts) and result.value is not None
                ):
                    return Step("judge", "judge", f"{doubt}: a judge chooses", step)
                case AskPerson() if "person" not in asked:
                    return Step("person", "person", f"{doubt}: a person decides", step)
                case Abstain():
                    return Step("abstain", "", f"{doubt}, and nobody is left to ask: no answer", step)
                case _:  # whoever was asked already
                    pass
        return Step("done", "", f"{doubt}, and the policy has no further step")


def may_help(result: AggregateResult) -> bool:
    if result.value is None or not result.conflicts:
        return True  # too few votes, or none: another one is what is lacking
    return any(conflict.kind in ("contradiction", "missing") for conflict in result.conflicts)


Asked: TypeAlias = Step | list[Question]
Merge: TypeAlias = Callable[[Sequence[Candidate]], AggregateResult]


def resolving(
    candidates: Sequence[Candidate], policy: Policy, merge: Merge, accept_at: float
) -> Generator[Asked, Any, AggregateResult]:
    """Merges, asks by `policy`, merges again. Yields a `Step` and takes its answer (a value, a `Candidate`, or None: no answer), or
    yields questions to judges and takes a reply for each."""
    _check_names(policy)
    heard = list(candidates)
    asked: list[str] = []
    result = merge(heard)
    notes: list[str] = []
    while True:
        step = policy.next(result, asked)
        if step.kind == "done":
            break
        if step.kind == "abstain":
            result = replace(result, value=None, confidence=0.0, decision="abstained", why=step.why, probs=())
            break
        asked.append(step.source)
        notes.append(step.why)
        if step.kind == "judge":
            result = yield from hearing(step.ask.judging, collect(heard), result, accept_at)
            continue
        reply = yield step
        if step.kind == "person":
            result = result if reply is None else decided_by_person(result, reply)
        else:
            heard.append(_candidate(reply, step))
            result = merge(heard)
    return replace(result, insights=(*result.insights, *notes))


def _check_names(policy: Policy) -> None:
    for step in policy.steps:
        for source in (
            step.sources if isinstance(step, MoreSamples) else (step.source,) if isinstance(step, TieBreak) else ()
        ):
            if not isinstance(source, str):
                raise InvalidInput(
                    f"{type(step).__name__}({source!r:.60}) calls a task, which only raywf.aggregate(policy=) in the body of a workflow "
                    "can; here a source has a name, and ask(step) asks it"
                )


def _candidate(reply: Any, step: Step) -> Candidate:
    if isinstance(reply, Candidate):
        return reply if reply.source == step.source else replace(reply, source=step.source)
    return Candidate(reply, step.source, weight=step.ask.weight if isinstance(step.ask, TieBreak) else 1.0)


def decided_by_person(result: AggregateResult, value: Any) -> AggregateResult:
    """A person's answer: accepted, and as sure as the sources make it, for that is what the confidence is about."""
    key = identity(value)
    sure = next((p for known, p in result.probs if identity(known) == key), 0.0)
    if result.value is not None and identity(result.value) == key:
        sure = result.confidence
    provenance = tuple(
        part if part.agrees is None else replace(part, agrees=identity(part.value) == key) for part in result.provenance
    )
    agreement = min(sum(part.share for part in provenance if part.agrees), 1.0)
    return replace(
        result,
        value=value,
        confidence=sure,
        agreement=agreement,
        provenance=provenance,
        decision="accepted",
        why="a person decided",
    )


def check_reconcile(kinds: Any) -> tuple[ConflictKind, ...]:
    """Raises `InvalidInput` for a kind of difference that cannot be counted together."""
    given = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    for kind in given:
        if kind not in RECONCILED:
            raise InvalidInput(
                f"reconcile takes {', '.join(RECONCILED)}, not {kind!r}: the others are real differences"
            )
    return given


def reconciled(ballot: Ballot, kinds: Sequence[ConflictKind]) -> dict[Key, Key]:
    """Which voted value stands for which others that mean the same. Nothing for values that stand for themselves."""
    voted = {vote.key for vote in ballot.votes}
    if len(voted) < 2 or len(voted) > COMPARED_UP_TO:
        return {}
    ranked = sorted(voted, key=lambda key: (-round(ballot.voted(key), 12), ballot.draw(key)))
    stands: dict[Key, Key] = {}
    leaders: list[Key] = []
    for key in ranked:
        same = next(
            (
                lead
                for lead in leaders
                if conflict_kind(ballot.values[lead], ballot.values[key]) in ("format", "unit")
                and conflict_kind(ballot.values[lead], ballot.values[key]) in kinds
            ),
            None,
        )
        if same is None:
            leaders.append(key)
        else:
            stands[key] = same
    if "granularity" in kinds:
        for general in leaders:
            deeper = [
                lead for lead in leaders if lead != general and contains(ballot.values[lead], ballot.values[general])
            ]
            if len(deeper) == 1:
                stands[general] = deeper[0]
    return {key: _last(stands, key) for key in stands}


def _last(stands: dict[Key, Key], key: Key) -> Key:
    while key in stands:
        key = stands[key]
    return key


def counted_together(ballot: Ballot, stands: dict[Key, Key]) -> list[Candidate]:
    """The candidates, each with the value that stands for its own."""
    return [
        replace(c, value=ballot.values[stands[key]], probs=None)
        if not c.abstains and (key := identity(c.value)) in stands
        else c
        for c in ballot.candidates
    ]


def with_originals(result: AggregateResult, ballot: Ballot, stands: dict[Key, Key]) -> AggregateResult:
    """The result with what sources really said in its provenance, and the differences that were passed over among its conflicts."""
    said = {candidate.source: candidate.value for candidate in ballot.candidates}
    provenance = tuple(replace(part, value=said[part.source]) for part in result.provenance)
    shares: dict[Key, list[Contribution]] = {}
    for part in provenance:
        if part.agrees is not None and (key := identity(part.value)) in stands:
            shares.setdefault(key, []).append(part)
    passed = [
        Conflict(
            ballot.values[key], tuple(part.source for part in parts), min(sum(part.share for part in parts), 1.0),
            conflict_kind(ballot.values[stands[key]], ballot.values[key]),
        )
        for key, parts in shares.items()
    ]  # fmt: skip
    return replace(
        result,
        provenance=provenance,
        conflicts=(*result.conflicts, *sorted(passed, key=lambda c: (-c.share, c.sources))),
    )
