"""How far each source can be trusted, by context, as a function of a set of facts.

    trust = Beta(1, 1) + gold answers, each worth 1 + agreements with the others, each worth at most 0.3

Gold comes first: a source with 20 gold answers (in all contexts) is judged by them alone. Below that, an item without truth
counts as a hit where the source said what most of the others said; its own copies are no others, or copies would praise
one another. With a half-life every fact weighs less the older it is, measured from the newest fact, so nothing here reads
a clock. Sums are `math.fsum` over the canonical order: equal sets give equal figures, bit for bit.

Beside it stands `raywf.aggregation.evidence`, which keeps the same facts for an actor that outlives its memory. There an
item leaves memory once it is counted, so its `Standing` can tell neither contexts nor ages below a day, and finds copies on
gold alone; here all items are at hand. `dossiers` says the one set of facts in the words of the other.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.consensus import Table, clones, told_apart
from raywf.aggregation.evidence import CONSENSUS_WEIGHT, Dossier, Said, Standing, Trust, Truth, low_of
from raywf.aggregation.facts import FactSet
from raywf.aggregation.identity import Key, identity
from raywf.errors import InvalidInput

ENOUGH_GOLD = 20
SHRINK = 8.0
"""A context begins at what is known of the source elsewhere, worth so many answers."""

Place = tuple[str, str | None]
"""A source and a context; None stands for all contexts together."""


class _Seen(NamedTuple):
    gold: bool
    hit: bool
    weight: float


def trust(facts: FactSet, *, half_life_s: float | None = None) -> dict[Place, Trust]:
    """By (source, context) and by (source, None) over all contexts; a source that never voted is missing.

    In a context trust begins at the source's trust over all of them, worth eight answers, and leaves it as evidence comes.
    Raises `InvalidInput` for a half-life that is not positive.
    """
    if half_life_s is not None and not (math.isfinite(half_life_s) and half_life_s > 0):
        raise InvalidInput(
            f"half_life_s is {half_life_s!r}; give a positive number of seconds, or None to forget nothing"
        )
    items = facts.by_item()
    ballots = {item: collect(answer.candidate() for answer in answers) for item, answers in items.items()}
    voted_on = {item: ballot for item, ballot in ballots.items() if ballot.votes}
    golds = [identity(facts.golds[item].truth) if item in facts.golds else None for item in voted_on]
    groups = told_apart(clones(Table.of(list(voted_on.values()))), list(voted_on.values()), golds)
    group = {name: number for number, names in enumerate(groups) for name in names}
    size = {name: len(names) for names in groups for name in names}
    newest = max([fact.at for fact in facts], default=0.0)
    seen: dict[Place, list[_Seen]] = {}
    for item, ballot in ballots.items():
        gold = facts.golds.get(item)
        truth = None if gold is None else identity(gold.truth)
        told = {answer.source: answer for answer in items[item]}
        for vote in ballot.votes:
            answer = told[vote.source]
            right = truth if truth is not None else _said_by_others(ballot, vote.source, group)
            if right is None:
                continue
            at = answer.at if gold is None else gold.at
            weight = 1.0 if half_life_s is None else 2.0 ** ((at - newest) / half_life_s)
            found = _Seen(gold is not None, vote.key == right, weight)
            for place in {(vote.source, None), (vote.source, answer.context)}:
                seen.setdefault(place, []).append(found)
    voted = {vote.source for ballot in ballots.values() for vote in ballot.votes}
    whole = {
        source: _trusted(seen.get((source, None), []), None, False, size.get(source, 1)) for source in sorted(voted)
    }
    trusted: dict[Place, Trust] = {(source, None): known for source, known in whole.items()}
    for source, context in sorted(place for place in seen if place[1] is not None):
        known = whole[source]
        trusted[source, context] = _trusted(
            seen[source, context], known.mean, known.gold >= ENOUGH_GOLD, size.get(source, 1)
        )  # fmt: skip
    return trusted


def _trusted(seen: list[_Seen], prior: float | None, gold_only: bool, copies: int) -> Trust:
    golds = sum(each.gold for each in seen)
    peers = 0.0 if gold_only or golds >= ENOUGH_GOLD else CONSENSUS_WEIGHT
    worth = [each.weight * (1.0 if each.gold else peers) for each in seen]
    hits = math.fsum(w for w, each in zip(worth, seen, strict=True) if each.hit)
    tries = math.fsum(worth)
    start, begin = (1.0, 2.0) if prior is None else (SHRINK * prior, SHRINK)
    mean = (start + hits) / (begin + tries)
    return Trust(mean, low_of(mean, begin - 2.0 + tries), golds, copies)


def _said_by_others(ballot: Ballot, source: str, group: Mapping[str, int]) -> Key | None:
    """What most of the other voices said, copies being one voice and not another than themselves; None if undecided."""
    mine = group.get(source)
    voices: dict[object, dict[Key, int]] = {}
    for vote in ballot.votes:
        of = group.get(vote.source)
        if vote.source != source and (of is None or of != mine):
            said = voices.setdefault(vote.source if of is None else of, {})
            said[vote.key] = said.get(vote.key, 0) + 1
    if len(voices) < 2:
        return None
    counts: dict[Key, float] = {}
    for said in voices.values():
        total = sum(said.values())
        for key, count in said.items():
            counts[key] = counts.get(key, 0.0) + count / total
    top = max(counts.values())
    leaders = [key for key, count in counts.items() if count >= top - 1e-9]
    return leaders[0] if len(leaders) == 1 else None


def dossiers(facts: FactSet) -> dict[str, Dossier]:
    """The same facts as an actor keeps them: one dossier per item, in canonical order. Contexts are left behind."""
    found: dict[str, Dossier] = {}
    for item, answers in facts.by_item().items():
        said = {}
        for answer in answers:
            probs = None if answer.probs is None else [list(pair) for pair in answer.probs]
            said[answer.source] = Said(answer.value, answer.confidence, probs, answer.weight, answer.at)
        found[item] = Dossier(said)
    for item, gold in sorted(facts.golds.items()):
        found.setdefault(item, Dossier()).truth = Truth(gold.truth, gold.at)
    return found


def standing(facts: FactSet) -> Standing:
    """What an actor that was told these facts would know of its sources."""
    known = Standing()
    for dossier in dossiers(facts).values():
        known.exchange(None, dossier)
    return known
