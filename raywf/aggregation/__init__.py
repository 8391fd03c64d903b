"""Many answers to one question, merged into one answer that says how sure it is.

What lives here: `Candidate` (one source's answer), the strategies (pure functions from candidates to scores), `FactSet`
(what is known, as a set that merges) and what is learned from it, and `ResultAggregator`, which picks a strategy, and
turns scores into a value, a confidence and a decision.

May import: the standard library's types, `raywf.core` and `raywf.errors`; numpy, scipy and rapidfuzz only inside functions.
Never: ray, asyncio, time, random, os, logging, a store.

Always true: the order of the candidates changes nothing, a source that abstains is not a vote, and a confidence that
was never compared with gold answers says so (`calibrated` is False).
"""

from raywf.aggregation.aggregator import ResultAggregator
from raywf.aggregation.calibration import CalibrationReport
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.facts import Answer, FactSet, Gold
from raywf.aggregation.fields import Fields
from raywf.aggregation.judging import Judge, Jury, Synthesis
from raywf.aggregation.learning import Learned
from raywf.aggregation.lists import Lists
from raywf.aggregation.resolving import Abstain, AskJudge, AskPerson, MoreSamples, Policy, Step, TieBreak
from raywf.aggregation.result import AggregateResult, Conflict, Contribution, Part
from raywf.aggregation.stopping import EarlyStop, NextSource

__all__ = [
    "Abstain",
    "AggregateResult",
    "Answer",
    "AskJudge",
    "AskPerson",
    "CalibrationReport",
    "Candidate",
    "Conflict",
    "Contribution",
    "EarlyStop",
    "FactSet",
    "Fields",
    "Gold",
    "Judge",
    "Jury",
    "Learned",
    "Lists",
    "MoreSamples",
    "NextSource",
    "Part",
    "Policy",
    "ResultAggregator",
    "Step",
    "Synthesis",
    "TieBreak",
]
