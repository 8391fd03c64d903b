"""`ResultAggregator`: chooses a strategy, merges, and decides whether the answer may stand."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from raywf.aggregation.account import conflicts_with, contributions, unit
from raywf.aggregation.alone import by_itself
from raywf.aggregation.asking import Ask, Asking, Gather, drive, drive_async
from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.calibration import CalibrationReport, Calibrator, calibration_report, capped
from raywf.aggregation.candidates import Candidate, check_probability
from raywf.aggregation.crossing import calibrator_of_records, held_out
from raywf.aggregation.em import METHODS, Fitted, fit
from raywf.aggregation.evidence import Trust
from raywf.aggregation.facts import Answer, Fact, FactSet, Gold
from raywf.aggregation.identity import Key, identity, spelling
from raywf.aggregation.judging import hearing
from raywf.aggregation.learning import ENOUGH_GOLD, ENOUGH_ITEMS, FITTED_FROM, Learned, learn, learn_from, reweighted
from raywf.aggregation.numeric import NUMERIC, merge_numbers
from raywf.aggregation.reliability import trust
from raywf.aggregation.resolving import Policy, check_reconcile, counted_together, reconciled, resolving, with_originals
from raywf.aggregation.result import AggregateResult, ConflictKind, Decision
from raywf.aggregation.stopping import EarlyStop
from raywf.aggregation.strategies import STRATEGIES, auto
from raywf.aggregation.structures import JUDGED, STRUCTURES, Structures, check_inside, settings_of, unknown_strategy
from raywf.errors import InvalidInput

TIE_DIGITS = 12
"""Scores equal to this many digits are a tie; sums of the same weights differ only after them."""
LEARNED = ("stack", "best_source")
LEARNING = ("auto", "stack", "wawa", "best_source", *METHODS)
KNOWN = {*LEARNING, *NUMERIC, *STRATEGIES, *STRUCTURES, *JUDGED}
"""Every strategy that has a name."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a merge goes by: what the facts teach, a model fitted without gold, and what gold says of its claims."""

    learned: Learned
    fitted: Fitted | None = None
    calibrator: Calibrator = field(default_factory=lambda: Calibrator(0))


class ResultAggregator:
    """Merges what several sources said about one question.

    `strategy`: "majority", "weighted_vote" and "confidence_weighted" count votes; "linear_pool" and "log_pool" average
    distributions; "mean", "median", "trimmed", "huber" and "hodges_lehmann" merge numbers;
    "fields" merges records field by field, "list", "set" and "vector" what is in lists, "kemeny", "borda" and "rrf" rankings;
    "text" votes on the answers that texts state, "mbr" takes the most central, "rover" merges word by word; "wawa", "stack" and
    "best_source" use what was learned, "dawid_skene" and "one_coin" what a batch or the facts teach without gold; "auto" goes
    by the shape of the values (`raywf.aggregation.shapes`), and for labels climbs the ladder of
    `raywf.aggregation.learning` as far as the evidence
    carries, and `result.rung` and `result.why` say where it stands. A confidence of `accept_at` or more is "accepted",
    less is "escalated" (ask somebody), no vote at all is "abstained". `Fields` and `Lists` are strategies with settings; `Judge`,
    `Jury` and `Synthesis` ask somebody. `reconcile` names differences that are none, of "format", "unit" and "granularity".

    The order of the candidates changes nothing. Ties go to the value with the higher stated confidence, then to a lot
    fixed by who voted for what: the same ballot always gives the same winner, and over many ballots no label gains.

    Raises `InvalidInput` for an unknown strategy and for an `accept_at` outside 0..1.
    """

    def __init__(
        self,
        strategy: Any = "auto",
        *,
        accept_at: float = 0.7,
        facts: FactSet | None = None,
        reconcile: Iterable[ConflictKind] = (),
    ) -> None:
        name, settings = settings_of(strategy)
        if name not in KNOWN:
            raise InvalidInput(unknown_strategy(name, KNOWN - {*JUDGED}))
        check_probability(accept_at, "accept_at, the confidence from which an answer is accepted,")
        self.reconcile = check_reconcile(reconcile)
        check_inside(settings, self._inside)
        self.strategy = name
        self.settings = settings
        self.accept_at = float(accept_at)
        self.facts = FactSet() if facts is None else facts
        self._learned: Learned | None = None
        self._known: Knowledge | None = None
        self._structures: Structures | None = None
        self._of_records: Calibrator | None = None
        self._judges_records = True

    @classmethod
    def from_facts(
        cls, facts: FactSet | Iterable[Fact], strategy: Any = "auto", *, accept_at: float = 0.7
    ) -> "ResultAggregator":
        """An aggregator that knows `facts`; equal sets of facts give equal aggregators, bit for bit."""
        known = facts if isinstance(facts, FactSet) else FactSet.of(facts)
        return cls(strategy, accept_at=accept_at, facts=known)

    def __repr__(self) -> str:
        return f"ResultAggregator(strategy={self.strategy!r}, accept_at={self.accept_at})"

    @property
    def learned(self) -> Learned:
        """What the facts teach; worked out when it is first asked for after they changed."""
        if self._learned is None:
            self._learned = learn(self.facts)
        return self._learned

    def add(self, *facts: Fact) -> None:
        """Facts to learn from; a repeat changes nothing."""
        self.facts.add(*facts)
        self._learned = self._known = self._structures = self._of_records = None

    def feedback(
        self, candidates: Iterable[Candidate], truth: Any, *, item: str | None = None, at: float = 0.0
    ) -> None:
        """A gold answer. Without an `item` the candidates name it, so telling the same twice teaches it once.

        `at`, seconds since the epoch, settles which of two truths stands. Raises `InvalidInput` for a truth of None.
        """
        known = collect(candidates).candidates
        name = _digest(known) if item is None else item
        gold = Gold(name, truth, at)  # refused before anything is kept
        self.add(*[Answer.of(name, candidate, at=at) for candidate in known], gold)

    def merge(self, candidates: Iterable[Candidate]) -> AggregateResult:
        """One answer from `candidates`, one per source. Raises `InvalidInput` for a source that answers twice."""
        return self._merge(collect(candidates), self._knowledge())

    async def merge_async(self, candidates: Iterable[Candidate], *, gather: Gather | None = None) -> AggregateResult:
        """`merge` with judges and writers that are awaited, all at once with `gather=asyncio.gather`, else one after another."""
        ballot = collect(candidates)
        if ballot.votes and self.strategy in JUDGED:
            return await drive_async(self._hearing(ballot), gather=gather)
        return self._merge(ballot, self._knowledge())

    def resolve(self, candidates: Iterable[Candidate], policy: Policy, ask: Ask) -> AggregateResult:
        """`merge`, and where the result is not accepted what `policy` says (`raywf.aggregation.resolving`).

        `ask(step)` gives the answer of the source or the person that the step names: a value, a `Candidate`, or None for no
        answer. What was done is in `insights`. Whatever `ask` raises goes on to the caller.
        """
        return drive(self._resolving(candidates, policy), ask)

    async def resolve_async(
        self, candidates: Iterable[Candidate], policy: Policy, ask: Ask, *, gather: Gather | None = None
    ) -> AggregateResult:
        """`resolve` with judges, sources and persons that are awaited."""
        return await drive_async(self._resolving(candidates, policy), ask, gather)

    def _resolving(self, candidates: Iterable[Candidate], policy: Policy) -> Asking:
        return resolving(collect(candidates).candidates, policy, self.merge, self.accept_at)

    def _hearing(self, ballot: Ballot) -> Asking:
        vote = ResultAggregator(accept_at=self.accept_at, facts=self.facts).merge(ballot.candidates)
        return hearing(self.settings, ballot, vote, self.accept_at)  # type: ignore[arg-type]

    def merge_many(self, batch: Iterable[Iterable[Candidate]]) -> list[AggregateResult]:
        """One answer per item of `batch`, in order. `InvalidInput.index` names the item that is refused.

        With "auto" and fewer than 30 gold answers, or "wawa" and fewer than 50, a batch of 50 items or more teaches by itself
        how far each source agrees with the others; to "dawid_skene" and "one_coin" it teaches that in any case.
        """
        ballots = []
        for index, candidates in enumerate(batch):
            try:
                ballots.append(collect(candidates))
            except InvalidInput as error:
                raise InvalidInput(f"item {index}: {error}", index=index) from error
        known = self._knowledge()
        if len(ballots) >= ENOUGH_ITEMS and (
            self.strategy in METHODS
            or (self.strategy == "auto" and known.learned.stack is None)
            or (self.strategy == "wawa" and known.learned.golds < ENOUGH_GOLD)
        ):
            known = self._with_batch(ballots, known)
        results = []
        for index, ballot in enumerate(ballots):
            try:
                results.append(self._merge(ballot, known))
            except InvalidInput as error:
                raise InvalidInput(f"item {index}: {error}", index=index) from error
        return results

    def conformal_set(self, candidates: Iterable[Candidate], coverage: float = 0.9) -> tuple[Any, ...]:
        """The values that hold the truth in at least `coverage` of cases, likeliest first (`conformal_threshold`).

        "None of these" is one more outcome; where it belongs to the set, the set ends in None. Raises `InvalidInput`
        with fewer than 50 gold answers.
        """
        learned = self.learned
        if learned.stack is None or not learned.calibrated:
            raise InvalidInput(
                f"a conformal set needs {ENOUGH_GOLD} gold answers, but there are {learned.golds}; give feedback()"
            )
        ballot, least = collect(candidates), 1.0 - learned.threshold(coverage)
        if not ballot.votes:
            return (None,)
        scores = learned.stack.scores(ballot)
        likeliest = sorted(scores, key=lambda key: (-scores[key], ballot.draw(key)))
        found = [ballot.values[key] for key in likeliest if scores[key] >= least]
        return (*found, None) if 1.0 - math.fsum(scores.values()) >= least else tuple(found)

    def calibration(self) -> CalibrationReport:
        """How sure this strategy would have been of the gold items and how often right, in order of time.

        Each fifth of them is judged by what the others teach. `drifted` is the alarm: the newest 50 to 99 are right
        much less or more often than claimed, so old gold answers no longer describe the sources. Empty without gold.
        Raises `InvalidInput` for strategies whose answers are not compared with a truth (numbers, "text").
        """
        if self.strategy in (*NUMERIC, "vector", "text", "mbr", "rover"):
            raise InvalidInput(
                f"strategy {self.strategy!r} has no calibration: its answers are not compared for equality"
            )
        judged = held_out(self.facts, lambda others: ResultAggregator(self.settings or self.strategy, facts=others))
        return calibration_report([(each.at, each.result.confidence, each.right) for each in judged])

    def early_stop(self, prices: Mapping[str, float], *, worth: float | None = None) -> EarlyStop:
        """Decides whom to ask next and when to stop, by what the facts teach now (`raywf.aggregation.stopping`)."""
        return EarlyStop.of(self.facts, prices, worth=worth)

    def trust(self, *, half_life_s: float | None = None) -> dict[tuple[str, str | None], Trust]:
        """How far each source can be trusted, by (source, context); context None is all together."""
        return trust(self.facts, half_life_s=half_life_s)

    def _knowledge(self) -> Knowledge:
        if self._known is None:
            learned = self.learned if self.strategy in LEARNING and len(self.facts) else Learned()
            if self.strategy == "best_source":
                learned = by_itself(learned, self.facts)
            fitted = None
            if self.strategy in METHODS and learned.items >= ENOUGH_ITEMS:
                fitted = fit(self.strategy, self._ballots(), learned.clusters)
            self._known = self._calibrated(Knowledge(learned, fitted))
        return self._known

    def _ballots(self) -> list[Ballot]:
        return [collect(answer.candidate() for answer in answers) for answers in self.facts.by_item().values()]

    def _with_batch(self, ballots: Sequence[Ballot], before: Knowledge) -> Knowledge:
        """What the facts and this batch teach together, without gold."""
        ordered = sorted(ballots, key=lambda ballot: _digest(ballot.candidates))  # so that order teaches nothing
        all_ = [*self._ballots(), *ordered]
        if self.strategy not in METHODS:
            learned = learn_from(all_, [None] * len(all_))
            return self._calibrated(Knowledge(learned)) if self.strategy == "wawa" else Knowledge(learned)
        return self._calibrated(Knowledge(before.learned, fit(self.strategy, all_)))

    def _calibrated(self, known: Knowledge) -> Knowledge:
        """With what the gold items say of this strategy's claims; a stack is fitted to them as it is."""
        if self.strategy in ("auto", "stack", "best_source", *STRUCTURES, *JUDGED, *NUMERIC):
            return known
        items, claimed, truths = self.facts.by_item(), [], []
        for item in sorted(self.facts.golds):
            ballot = collect(answer.candidate() for answer in items.get(item, ()))
            if ballot.votes:
                claimed.append(self._scores(ballot, known)[2])
                truths.append(identity(self.facts.golds[item].truth))
        return replace(known, calibrator=Calibrator.fit(claimed, truths))

    def _merge(self, ballot: Ballot, known: Knowledge) -> AggregateResult:
        if self.reconcile and (stands := reconciled(ballot, self.reconcile)):
            together = self._merge_as_said(collect(counted_together(ballot, stands)), known)
            return with_originals(together, ballot, stands)
        return self._merge_as_said(ballot, known)

    def _merge_as_said(self, ballot: Ballot, known: Knowledge) -> AggregateResult:
        learned = known.learned
        if not ballot.votes:
            return _abstained(ballot, self.strategy, learned)
        if self.strategy in JUDGED:
            return drive(self._hearing(ballot))
        if self.strategy == "auto" and (shaped := self._by_structure().merge_auto(ballot)) is not None:
            return self._as_record(shaped)
        if self.strategy in STRUCTURES:
            return self._as_record(self._by_structure().merge(ballot, self.strategy, self.settings))
        if self.strategy in NUMERIC:
            return merge_numbers(ballot, self.strategy, self.accept_at)
        name, calibrated, scores, ballot = self._scores(ballot, known)
        ranking = _ranked(ballot, scores)
        winner = ranking[0]
        confidence = unit(scores[winner])
        return AggregateResult(
            value=ballot.values[winner],
            confidence=confidence,
            calibrated=calibrated,
            quality=unit(ballot.support(winner) * len(ballot.votes) / len(ballot.candidates)),
            agreement=unit(ballot.voted(winner)),
            conflicts=conflicts_with(ballot, winner),
            provenance=contributions(ballot, winner),
            decision=self._decide(confidence),
            strategy=name,
            probs=tuple((ballot.values[key], unit(scores[key])) for key in ranking),
            rung=learned.rung if self.strategy == "auto" else "",
            why=self._why(known, calibrated),
            insights=learned.insights,
        )

    def _why(self, known: Knowledge, calibrated: bool) -> str:
        """What there is to know of how an answer came about, where the strategy asked for does not say it."""
        learned = known.learned
        if self.strategy in METHODS and known.fitted is None and learned.stack is not None:  # which it does not use
            return (
                f"{learned.items} items with answers are fewer than the {ENOUGH_ITEMS} that teach anything: plain votes"
            )
        told = self.strategy == "auto" or (self.strategy in METHODS and known.fitted is None)
        return learned.why if told or (self.strategy in LEARNED and not calibrated) else ""

    def _scores(self, ballot: Ballot, known: Knowledge) -> tuple[str, bool, dict[Key, float], Ballot]:
        name, calibrated, scores, ballot = self._raw_scores(ballot, known)
        if not calibrated and known.calibrator:
            return name, True, known.calibrator(scores), ballot
        return name, calibrated, scores, ballot

    def _raw_scores(self, ballot: Ballot, known: Knowledge) -> tuple[str, bool, dict[Key, float], Ballot]:
        learned = known.learned
        if self.strategy in LEARNED and learned.stack is None:
            raise InvalidInput(
                f"strategy {self.strategy!r} learns from gold answers and needs {FITTED_FROM}, but there are {learned.golds}; give "
                'feedback(), or use strategy="auto", which does what the evidence allows'
            )
        if self.strategy in ("auto", *LEARNED) and learned.stack is not None:
            heard = any(learned.stack.weight(vote.source) > 0 for vote in ballot.votes)
            if heard:
                return (
                    ("best_source" if learned.rung == "best" else "stack"),
                    learned.calibrated,
                    capped(learned.stack.scores(ballot), learned.golds),
                    ballot,
                )
        if known.fitted is not None:
            return known.fitted.method, False, known.fitted.scores(ballot), ballot
        if self.strategy in LEARNING:
            heard_of = learned.weights and any(vote.source in learned.weights for vote in ballot.votes)
            if heard_of and self.strategy not in METHODS:
                ballot = collect(reweighted(ballot.candidates, learned))
            chosen = auto(ballot)
            if heard_of and self.strategy not in METHODS and chosen is STRATEGIES["majority"]:
                return "wawa", False, chosen(ballot), ballot
            return chosen.__name__, False, chosen(ballot), ballot
        return self.strategy, False, STRATEGIES[self.strategy](ballot), ballot

    def _by_structure(self) -> Structures:
        if self._structures is None:
            self._structures = Structures(self._inside, self.facts, self.accept_at)
        return self._structures

    def _as_record(self, result: AggregateResult) -> AggregateResult:
        """A whole record as sure as gold records say; the others, and a record inside another one, as they are."""
        if result.strategy != "fields" or result.value is None or not self.facts.golds or not self._judges_records:
            return result
        if self._of_records is None:
            self._of_records = calibrator_of_records(self.facts, self._inside_of)
        if not self._of_records:
            return result
        confidence = unit(self._of_records({0: result.confidence})[0])
        return replace(result, confidence=confidence, calibrated=True, decision=self._decide(confidence))

    def _inside_of(self, facts: FactSet) -> "ResultAggregator":
        return self._inside(self.settings or self.strategy, facts)

    def _inside(self, strategy: Any, facts: FactSet) -> "ResultAggregator":
        """An aggregator for a part of the values, or of the gold."""
        found = ResultAggregator(strategy, facts=facts, reconcile=self.reconcile)
        found._judges_records = False
        return found

    def _decide(self, confidence: float) -> Decision:
        return "accepted" if confidence >= self.accept_at else "escalated"


def _digest(candidates: Sequence[Candidate]) -> str:
    """A name for a question nobody named: who said what."""
    said = "\n".join(
        f"{c.source}\t{spelling(identity(c.value))}\t{c.confidence!r}\t"
        f"{sorted((spelling(key), p) for key, p in c.distribution().items())}"
        for c in candidates
    )
    return sha256(said.encode(errors="backslashreplace")).hexdigest()


def _ranked(ballot: Ballot, scores: dict[Key, float]) -> list[Key]:
    def place(key: Key) -> tuple[float, float]:
        return -round(scores[key], TIE_DIGITS), -round(ballot.support(key), TIE_DIGITS)

    places = {key: place(key) for key in scores}
    if len(set(places.values())) == len(places):  # a lot costs a hash, and few ballots need one
        return sorted(places, key=places.__getitem__)
    return sorted(places, key=lambda key: (places[key], ballot.draw(key)))


def _abstained(ballot: Ballot, strategy: str, learned: Learned) -> AggregateResult:
    return AggregateResult(
        value=None,
        confidence=0.0,
        calibrated=False,
        quality=0.0,
        agreement=0.0,
        conflicts=(),
        provenance=contributions(ballot, None),
        decision="abstained",
        strategy=strategy,
        probs=(),
        rung=learned.rung if strategy == "auto" else "",
        why="no source voted",
    )
