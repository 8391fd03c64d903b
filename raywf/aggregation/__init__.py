"""Many answers to one question, merged into one answer that says how sure it is.

What lives here: `Candidate` (one source's answer), the strategies (pure functions from candidates to scores), and
`ResultAggregator`, which picks a strategy, and turns scores into a value, a confidence and a decision.

May import: the standard library's types and `raywf.errors`; numpy, scipy and rapidfuzz only inside functions.
Never: ray, asyncio, time, random, os, logging, a store.

Always true: the order of the candidates changes nothing, a source that abstains is not a vote, and a confidence that
was never compared with gold answers says so (`calibrated` is False).
"""

from raywf.aggregation.aggregator import ResultAggregator
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.result import AggregateResult, Conflict, Contribution

__all__ = ["AggregateResult", "Candidate", "Conflict", "Contribution", "ResultAggregator"]
