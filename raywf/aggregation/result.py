"""What a merge gives: a value, how sure it is, and where it comes from."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from raywf.aggregation.candidates import Candidate

Decision: TypeAlias = Literal["accepted", "escalated", "abstained"]


ConflictKind: TypeAlias = Literal["contradiction", "granularity", "format", "unit", "missing"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value other than the merged one that somebody voted for; `share` is of the voting weight.

    `kind`: "format" is the same thing written otherwise ("1,000" and 1000), "granularity" one inside the other
    ("Paris" and "Paris, France"), "unit" one quantity in two units ("5 kg" and "5000 g", within 0.5 %), "missing" an
    object that leaves fields out and agrees on the rest, or a part that most do not have, "contradiction" anything else. `path` says
    where, as a JSON pointer; "" is the whole value. Whoever did not answer at all is
    in the provenance.
    """

    value: Any
    sources: tuple[str, ...]
    share: float
    kind: ConflictKind = "contradiction"
    path: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a merged record or one element of a merged list; `path` is a JSON pointer (RFC 6901), "/lines/0/price".

    `agreement` is the share of the voting weight that says exactly this here, `sources` who does. `kept` is False for what was left out
    because those who do not have it weigh more: `confidence` is then how sure that is. `calibrated` as in `AggregateResult`.
    """

    path: str
    value: Any
    confidence: float
    agreement: float
    sources: tuple[str, ...]
    strategy: str
    calibrated: bool = False
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one source put in; `share` is 0 and `agrees` None for a source that was not counted."""

    source: str
    value: Any
    confidence: float | None
    share: float
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class AggregateResult:
    """One merged answer.

    `value` is None and the decision "abstained" when no source voted. `confidence` is the merged probability that the
    value is right; while `calibrated` is False it was never compared with gold answers, so read it as an order, not as
    a frequency. `agreement` is the share of the voting weight whose own value is the merged one. `quality` is how
    good the evidence is, whatever the strategy: the mean probability the voters themselves give to the value (a bare
    vote is 1 or 0), times the share of the sources asked that voted. `probs` is the merged distribution, likeliest
    first, as pairs that a `Candidate` takes. `conflicts` come by falling share, `provenance` by source name. `rung` is the
    step of the ladder that "auto" stood on, `why` its reason in words; `insights` are findings about the sources. `parts` are the
    fields of a record and the elements of a list, each with a confidence of its own; that of the whole is the least of theirs.
    """

    value: Any
    confidence: float
    calibrated: bool
    quality: float
    agreement: float
    conflicts: tuple[Conflict, ...]
    provenance: tuple[Contribution, ...]
    decision: Decision
    strategy: str
    probs: tuple[tuple[Any, float], ...]
    rung: str = ""
    why: str = ""
    insights: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def candidates(self) -> list[Candidate]:
        """What went in, to merge it again with more; the shares of the votes are the weights. Distributions are not kept."""
        return [Candidate(part.value, part.source, part.confidence, None, part.share) for part in self.provenance]
