"""An aggregator without Ray: what it was told is on disk before it answers, counts once, and adds up in any order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic_core import to_json

from raywf.aggregation.evidence import Dossier, Said, Standing, Truth
from raywf.config import Settings
from raywf.errors import InvalidInput, NotConnected, NotFound
from raywf.journal import GroupCommit
from raywf.journal.memory import MemoryJournal, forget
from raywf.ports import AggregatorRow, OwnerRow
from raywf.runtime import aggregating
from raywf.runtime.aggregating import Aggregating, aggregator_key, packed, read_standing, unpacked
from raywf.runtime.spec import aggregator_lane
from raywf.testing.journal_contract import ManualClock

SETTINGS = Settings(store="memory://x")
SOURCES = ("a", "b", "c", "d", "e")


def facts(count: int, seed: int = 1) -> dict[str, Dossier]:
    """Items that five sources answered; every third with its truth."""
    chance = random.Random(seed)
    found = {}
    for n in range(count):
        said = {
            source: Said(chance.choice(["x", "y", "z"]), round(chance.random(), 2), None, 1.0, 1000.0 + n)
            for source in SOURCES
            if chance.random() > 0.1
        }
        found[f"item-{n}"] = Dossier(said, Truth("x", 2000.0 + n) if n % 3 == 0 else None)
    return found


def entries(dossiers: dict[str, Dossier]) -> bytes:
    return to_json([[item, *dossier.to_data()] for item, dossier in dossiers.items()])


def pieces(dossiers: dict[str, Dossier], seed: int) -> list[dict[str, Dossier]]:
    """The same facts in many small shards, shuffled, and some of them twice."""
    chance = random.Random(seed)
    singles = []
    for item, dossier in dossiers.items():
        singles += [(item, Dossier({source: said})) for source, said in dossier.said.items()]
        if dossier.truth is not None:
            singles.append((item, Dossier({}, dossier.truth)))
    singles += chance.choices(singles, k=len(singles) // 2)
    chance.shuffle(singles)
    shards: list[dict[str, Dossier]] = []
    while singles:
        shard: dict[str, Dossier] = {}
        for item, dossier in singles[: chance.randrange(1, 40)]:
            shard[item] = shard[item].merged(dossier) if item in shard else dossier
        del singles[: len(shard)]
        shards.append(shard)
    return shards


class Place:
    """One store in memory, and the owners that come and go."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = f"aggregating-{id(self)}"
        self.owners: list[Aggregating] = []

    async def owner(self, *, dead: tuple[str, ...] = ()) -> Aggregating:
        lane = aggregator_lane("default", "triage")
        me = OwnerRow(f"o-{len(self.owners)}", lane, "host", 1, b"{}", self.clock.now(), 0.0, False)
        journal = MemoryJournal(self.store, clock=self.clock)
        found = Aggregating(me, "default", "triage", journal, self.clock, GroupCommit)
        self.owners.append(found)
        assert await found.claim(SETTINGS, dead=dead)
        return found


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    for owner in place.owners:
        await owner._commits.close()
    forget(place.store)


async def test_an_answer_is_on_disk_when_it_is_given(place: Place) -> None:
    owner = await place.owner()
    told = {"t-1": Dossier({name: Said("x" if name != "e" else "y", None, None, 1.0, 5.0) for name in SOURCES})}
    (result,) = await owner.merge(entries(told), "majority", 0.5)
    assert (result.value, result.decision) == ("x", "accepted")
    (row,) = await owner.journal.evidence_of(owner.key, ["t-1"])
    assert aggregating.dossiers([row]) == told
    assert owner._flying == {}, "what is on disk is not kept in memory"


async def test_what_is_said_again_changes_nothing(place: Place) -> None:
    owner = await place.owner()
    blob = entries(facts(40))
    first = await owner.merge(blob, "majority", 0.7)
    standing, seq = await owner.state()
    again = await owner.merge(blob, "majority", 0.7)
    assert await owner.state() == (standing, seq)
    assert again == first, "whose answer got lost hears the same"
    assert await owner.absorb(blob) == 0


async def test_a_source_that_changes_its_mind_counts_once_as_it_said_last(place: Place) -> None:
    owner = await place.owner()
    for at, value in ((5.0, "x"), (9.0, "y"), (7.0, "z")):
        await owner.absorb(entries({"t": Dossier({"a": Said(value, None, None, 1.0, at)})}))
    await owner.absorb(entries({"t": Dossier({}, Truth("y", 10.0))}))
    standing, _ = await owner.state()
    assert (standing.count("a", "answers"), standing.count("a", "right")) == (1, 1)


@pytest.mark.parametrize("seed", range(6))
async def test_shards_in_any_order_with_repeats_and_a_death_give_the_same_standing(
    place: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregating, "SNAPSHOT_EVERY", 30)
    known = facts(60)
    expected = Standing()
    for dossier in known.values():
        expected.exchange(None, dossier)
    shards = pieces(known, seed)
    owner = await place.owner()
    for number, shard in enumerate(shards):
        if number == len(shards) // 2:  # it dies, and its successor reads what was written
            owner = await place.owner(dead=(owner.me.owner,))
        await owner.absorb(entries(shard))
    standing, _ = await owner.state()
    assert to_json(standing.to_data()) == to_json(expected.to_data())
    assert standing.trust(30.0) == expected.trust(30.0)
    assert standing.clones() == expected.clones()
    read, _ = await read_standing(owner.journal, "default", "triage")
    assert to_json(read.to_data()) == to_json(expected.to_data()), "and so does who only reads"


async def test_a_zombie_is_refused_and_writes_nothing(place: Place) -> None:
    zombie = await place.owner()
    await zombie.absorb(entries(facts(3)))
    heir = await place.owner(dead=(zombie.me.owner,))
    with pytest.raises(NotConnected):
        await zombie.absorb(entries(facts(9)))
    assert zombie.gone.is_set()
    standing, seq = await heir.state()
    assert (standing.items, seq) == (3, 3)


async def test_who_parks_leaves_a_snapshot_and_the_lease(place: Place) -> None:
    owner = await place.owner()
    await owner.absorb(entries(facts(7)))
    await owner.park()
    heir = await place.owner()
    row = await heir.journal.aggregator("default", "triage")
    assert row is not None and row.seq == 7
    assert (await heir.state())[0] == owner.standing


async def test_trust_learned_from_feedback_moves_the_answer(place: Place) -> None:
    owner = await place.owner()

    def told(n: int, truth: str | None) -> dict[str, Dossier]:
        said = {"good": "x", "bad": "y", "worse": "z"}
        dossier = Dossier({source: Said(value, None, None, 1.0, 5.0) for source, value in said.items()})
        return {f"t-{n}": Dossier(dossier.said, None if truth is None else Truth(truth, 6.0))}

    for n in range(25):
        await owner.absorb(entries(told(n, "x")))
    (result,) = await owner.merge(entries(told(99, None)), "majority", 0.5)
    assert result.value == "x"
    shares = {each.source: each.share for each in result.provenance}
    assert shares["good"] > 0.8


async def test_bad_input_is_refused_before_anything_is_stored(place: Place) -> None:
    owner = await place.owner()
    with pytest.raises(InvalidInput, match="probs"):
        await owner.merge(entries({"t": Dossier({"a": Said("x", None, None, 1.0, 5.0)})}), "log_pool", 0.7)
    assert await owner.journal.evidence(owner.key) == []
    assert (await owner.state())[0].items == 0


async def test_an_unknown_aggregator_is_named_with_those_that_are_there(place: Place) -> None:
    owner = await place.owner()
    with pytest.raises(NotFound, match="there are triage"):
        await read_standing(owner.journal, "default", "other")
    assert aggregator_key("default", "triage") == owner.key < 2**63


async def test_many_items_leave_nothing_in_memory(place: Place) -> None:
    owner = await place.owner()

    async def tell(start: int) -> int:
        batch: dict[str, Any] = {f"i-{start + n}": dossier for n, dossier in enumerate(facts(200, 3).values())}
        await owner.merge(entries(batch), "majority", 0.7)
        return len(owner.standing.sums)

    sizes = [await tell(start) for start in range(0, 2000, 200)]
    assert sizes[0] == sizes[-1] < 200, "as many sums after 2000 items as after 200"
    assert owner._flying == {}


async def test_results_arrive_as_they_left(place: Place) -> None:
    owner = await place.owner()
    results = await owner.merge(entries(facts(30)), "majority", 0.7)
    assert unpacked(packed(results)) == results


@pytest.mark.parametrize("strategy", ["auto", "dawid_skene", "one_coin"])
async def test_with_enough_gold_the_answer_is_calibrated_also_after_a_death(
    strategy: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregating, "SNAPSHOT_EVERY", 50)
    owner = await place.owner()
    chance = random.Random(3)

    def ballot(n: int, known: bool) -> dict[str, Dossier]:
        truth = chance.choice("xyz")
        said = {
            name: Said(truth if chance.random() < skill else "x", None, None, 1.0, 5.0 + n)
            for name, skill in (("good", 0.95), ("fair", 0.7), ("poor", 0.3))
        }
        return {f"g-{n}": Dossier(said, Truth(truth, 6.0 + n) if known else None)}

    (before,) = await owner.merge(entries(ballot(999, False)), strategy, 0.7)
    assert not before.calibrated
    for n in range(80):
        await owner.absorb(entries(ballot(n, True)))
    asked = entries(ballot(1000, False))
    (result,) = await owner.merge(asked, strategy, 0.7)
    assert result.calibrated
    heir = await place.owner(dead=(owner.me.owner,))
    (again,) = await heir.merge(asked, strategy, 0.7)
    assert again == result, "the same gold teaches the same, bit for bit"


def test_the_newest_gold_is_kept_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregating, "GOLD_KEPT", 10)
    known = [(f"i-{n}", Dossier({}, Truth("x", float(n % 7)))) for n in range(40)]
    kept = []
    for seed in range(5):
        random.Random(seed).shuffle(known)
        gold = aggregating.Gold()
        for item, dossier in known:
            gold.put(item, dossier)
        kept.append(sorted(gold.items))
    assert all(each == kept[0] for each in kept) and len(kept[0]) == 10


async def test_a_snapshot_of_the_earlier_form_is_read_from_the_evidence(place: Place) -> None:
    owner = await place.owner()
    await owner.absorb(entries(facts(60)))
    row = AggregatorRow(owner.key, "default", "triage", owner.seq, 5.0, to_json(owner.standing.to_data()))
    owner._commits.add_aggregator(aggregating.SHARD, row)
    await owner._durable()
    heir = await place.owner(dead=(owner.me.owner,))
    assert (heir.standing, heir.seq) == (owner.standing, owner.seq)
    assert heir.gold.items == owner.gold.items and len(heir.gold.items) == 20
    await heir.park()
    row = await heir.journal.aggregator("default", "triage")
    assert row is not None and b'"gold"' in row.body, "and is written in the form of today"
