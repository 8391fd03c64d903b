"""From a strategy, by name or as a value with settings, to the merge of a shape; and what "auto" does with each shape."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeAlias

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.facts import FactSet
from raywf.aggregation.fields import Fields, merge_fields, projected
from raywf.aggregation.judging import Judge, Jury, Synthesis
from raywf.aggregation.lists import Lists, merge_lists, merge_vector
from raywf.aggregation.numeric import merge_numbers
from raywf.aggregation.rankings import RANKINGS, merge_rankings
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.rover import merge_rover
from raywf.aggregation.shapes import SHORT_LABEL, Merger, Shape, shape_of
from raywf.aggregation.text import merge_central, merge_text
from raywf.errors import InvalidInput

Settings: TypeAlias = Fields | Lists | Judge | Jury | Synthesis
Make: TypeAlias = Callable[[Any, FactSet], Merger]
"""Gives an aggregator from a strategy and what is known."""

STRUCTURES = ("fields", "list", "set", "vector", *RANKINGS, "rover", "mbr", "text")
JUDGED = ("judge", "jury", "synthesis")
"""Strategies that ask somebody; they have a function, so they are values and no names."""
"""Strategies that merge what a value is made of; the others compare whole values, or average numbers."""
_OF_SHAPE: dict[Shape, tuple[str, str]] = {
    "number": ("huber", "numbers: their middle, by Huber's estimator"),
    "text": ("text", "texts: a vote on the answers they state"),
    "object": ("fields", "records: field by field"),
    "list": ("list", "lists: what is in most of them"),
    "set": ("set", "sets: what is in most of them"),
    "vector": ("vector", "lists of numbers of one length: place by place"),
    "ranking": ("kemeny", "the same things in different orders: the order that most pairs agree with"),
}


def settings_of(strategy: object) -> tuple[str, Settings | None]:
    """A strategy's name and settings. Raises `InvalidInput` for what is neither a name nor a value with settings."""
    match strategy:
        case str():
            usual: dict[str, Settings] = {"fields": Fields(), "list": Lists(), "set": Lists(as_set=True)}
            if strategy in JUDGED:
                raise InvalidInput(
                    f"strategy {strategy!r} has to know whom to ask: give it as a value, as in "
                    f"raywf.aggregation.{strategy.capitalize()}(ask)"
                )
            return strategy, usual.get(strategy)
        case Fields():
            return "fields", strategy
        case Lists():
            return ("set" if strategy.as_set else "list"), strategy
        case Judge() | Jury() | Synthesis():
            return type(strategy).__name__.lower(), strategy
        case _:
            raise InvalidInput(
                f'there is no strategy {strategy!r:.80}: a strategy is a name, as in "majority", or a value with settings, as in '
                'Fields(by={"/total": "median"})'
            )


def check_inside(settings: Settings | None, make: Make) -> None:
    """Refuses unknown strategies inside the settings now, and not at the first record that has the field."""
    match settings:
        case Fields(by=by):
            for path, how in by.items():
                try:
                    make(how, FactSet())
                except InvalidInput as error:
                    raise InvalidInput(f"field {path!r}: {error}") from None
        case Lists(of=of):
            make(of, FactSet())
        case _:
            pass


def by_shape(ballot: Ballot) -> tuple[str, Settings | None, str]:
    """What "auto" does: the strategy for the shape of the votes, and its reason; "" for labels."""
    if any(vote.distribution for vote in ballot.votes):
        return "", None, ""  # whoever gives a distribution speaks of labels
    name, why = _OF_SHAPE.get(shape_of([ballot.values[vote.key] for vote in ballot.votes]), ("", ""))
    return name, settings_of(name)[1], why


class Structures:
    """Merges values by what they are made of; keeps the aggregators of fields, each with what is known of its own field."""

    def __init__(self, make: Make, facts: FactSet, accept_at: float) -> None:
        self._make = make
        self._facts = facts
        self._accept_at = accept_at
        self._of_fields: dict[str, tuple[Any, Merger]] = {}

    def merge(self, ballot: Ballot, name: str, settings: Settings | None) -> AggregateResult:
        """Raises `InvalidInput` for a value of another shape, naming its source."""
        accept_at = self._accept_at
        match settings:
            case Fields():
                return merge_fields(ballot, settings, self._of_field, accept_at)
            case Lists():
                return merge_lists(ballot, settings, self._plain, accept_at)
            case _:
                pass
        if name == "vector":
            return merge_vector(ballot, self._plain, accept_at)
        if name in RANKINGS:
            return merge_rankings(ballot, name, accept_at)
        if name == "rover":
            return merge_rover(ballot.candidates, accept_at)
        vote = self._plain("majority").merge
        return merge_central(ballot.candidates, vote) if name == "mbr" else merge_text(ballot.candidates, vote)

    def merge_auto(self, ballot: Ballot) -> AggregateResult | None:
        """What "auto" makes of values that are no labels; None for labels."""
        for kind, payload in ballot.values:  # most values are short labels, and most merges are of them
            if kind != "text" or len(payload) > SHORT_LABEL or "\n" in payload:  # type: ignore[arg-type,operator]
                break
        else:
            return None
        name, settings, why = by_shape(ballot)
        if not name:
            return None
        if name == "huber":
            result = merge_numbers(ballot, name, self._accept_at)
            if all(type(ballot.values[vote.key]) is int for vote in ballot.votes):
                result = replace(result, value=round(result.value))
        else:
            result = self.merge(ballot, name, settings)
        return replace(result, rung="shape", why=f"{why}; {result.why}" if result.why else why)

    def _plain(self, strategy: Any) -> Merger:
        return self._make(strategy, FactSet())

    def _of_field(self, name: str, strategy: Any) -> Merger:
        kept, merger = self._of_fields.get(name, (None, None))
        if merger is None or kept != strategy:
            merger = self._make(strategy, projected(self._facts, name) if len(self._facts) else FactSet())
            self._of_fields[name] = (strategy, merger)
        return merger


def unknown_strategy(strategy: object, known: set[str]) -> str:
    """What to tell who asked for it."""
    close = get_close_matches(str(strategy), sorted(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no strategy {strategy!r} in this version: there are {', '.join(sorted(known))}{hint}"
