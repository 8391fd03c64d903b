"""Where actors and shards go: everything is held, evenly, nothing moves without need, and nothing moves twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.placement import PER_NODE, SETTLE_S, Member, Node, Placement, place, shares, usable

SHARDS = range(256)


def done(members: Sequence[Member], placement: Placement) -> list[Member]:
    """The members once a placement has been carried out."""
    held = {member.index: set(member.shards) for member in members}
    nodes = {member.index: member.node for member in members}
    for start in placement.starts:
        assert start.index not in held
        held[start.index], nodes[start.index] = set(start.shards), start.node
    for move in placement.moves:
        if move.source is not None:
            assert held[move.source].issuperset(move.shards)
            held[move.source].difference_update(move.shards)
        assert not held[move.target].intersection(move.shards)
        held[move.target].update(move.shards)
    for index in placement.leaves:
        assert not held.pop(index), "who leaves holds nothing"
    return [Member(index, nodes[index], frozenset(mine)) for index, mine in held.items()]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Member], int]:
    """Any nodes, any actors on them, on dead or unknown ones, and any disjoint shards in their hands."""
    nodes = [
        Node(
            f"n{number}", draw(st.sampled_from([0.0, 1.0, 8.0])), draw(st.booleans()), draw(st.sampled_from([0.0, 9.0]))
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    places = [*(node.id for node in nodes), "dead", None]
    indexes = draw(st.lists(st.integers(0, 12), unique=True, max_size=8))
    holder = draw(st.lists(st.integers(-1, 12), min_size=256, max_size=256)) if indexes else []
    members = [
        Member(index, draw(st.sampled_from(places)), frozenset(s for s, who in enumerate(holder) if who == index))
        for index in indexes
    ]
    return nodes, members, draw(st.sampled_from([PER_NODE, 1, 2, 3, 5]))


@given(clusters())
def test_all_shards_are_held_evenly_by_as_many_actors_as_are_wanted_on_nodes_that_stay(
    cluster: tuple[list[Node], list[Member], int],
) -> None:
    nodes, members, wanted = cluster
    after = done(members, place(nodes, members, wanted, SHARDS))
    assert sorted(shard for member in after for shard in member.shards) == list(SHARDS), "each shard by one"
    sizes = [len(member.shards) for member in after]
    assert max(sizes) - min(sizes) <= 1
    good = {node.id for node in usable(nodes)}
    if good:
        assert {member.node for member in after} <= good | {None}
        lost = sum(member.node is None for member in after)
        assert len(after) == max(lost, len(good) if wanted == PER_NODE else wanted)
        if not lost:
            there = [sum(member.node == node for member in after) for node in good]
            assert max(there) - min(there) <= 1


@given(clusters())
def test_what_has_been_done_once_is_not_done_again(cluster: tuple[list[Node], list[Member], int]) -> None:
    nodes, members, wanted = cluster
    after = done(members, place(nodes, members, wanted, SHARDS))
    assert not place(nodes, after, wanted, SHARDS)


@given(clusters())
def test_nothing_moves_that_need_not(cluster: tuple[list[Node], list[Member], int]) -> None:
    """Of those who stay only what is above the larger share is taken, from as few of them as can be."""
    nodes, members, wanted = cluster
    placement = place(nodes, members, wanted, SHARDS)
    after = {member.index: member for member in done(members, placement)}
    least = 256 // len(after)
    kept = sum(len(member.shards & after[member.index].shards) for member in members if member.index in after)
    sizes = sorted((len(member.shards) for member in members if member.index in after), reverse=True)
    larger = 256 - least * len(after)
    best = sum(min(size, least + (place_ < larger)) for place_, size in enumerate(sizes))
    assert kept == best, "no balanced placement keeps more where it is"


@given(clusters())
def test_the_order_in_which_it_is_told_does_not_matter(cluster: tuple[list[Node], list[Member], int]) -> None:
    nodes, members, wanted = cluster
    assert place(nodes[::-1], members[::-1], wanted, SHARDS) == place(nodes, members, wanted, SHARDS)


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 300), min_size=1, max_size=20), st.integers(0, 1000))
def test_shares_are_fair(held: dict[int, int], total: int) -> None:
    fair = shares(held, total)
    assert sum(fair.values()) == total and max(fair.values()) - min(fair.values()) <= 1
    for one in held:
        assert all(fair[one] >= fair[other] for other in held if held[one] > held[other])


def test_a_node_that_joins_gets_its_share_and_nothing_else_moves() -> None:
    nodes = [Node("a"), Node("b")]
    members = done([], place(nodes, [], PER_NODE, SHARDS))
    joined = place([*nodes, Node("c")], members, PER_NODE, SHARDS)
    assert [start.node for start in joined.starts] == ["c"]
    assert Counter(move.target for move in joined.moves) == {2: 2}
    assert sum(len(move.shards) for move in joined.moves) == 85
    assert not place([*nodes, Node("c", age_s=SETTLE_S / 2)], members, PER_NODE, SHARDS), "it may be gone in a moment"


def test_a_node_that_drains_gives_everything_away_and_one_that_died_is_replaced_by_the_others() -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    members = done([], place(nodes, [], PER_NODE, SHARDS))
    for after in ([Node("a"), Node("b", draining=True), Node("c")], [Node("a"), Node("c")]):
        placement = place(after, members, PER_NODE, SHARDS)
        assert not placement.starts and placement.leaves == (1,)
        assert {move.source for move in placement.moves} == {1}
        assert {member.node for member in done(members, placement)} == {"a", "c"}


def test_a_single_actor_leaves_a_draining_node_for_another_one() -> None:
    placement = place([Node("a", draining=True), Node("b")], [Member(0, "a", frozenset(SHARDS))], 1, SHARDS)
    assert [(start.index, start.node, start.shards) for start in placement.starts] == [(1, "b", ())]
    assert [(move.source, move.target, len(move.shards)) for move in placement.moves] == [(0, 1, 256)]


def test_where_no_node_can_be_used_everybody_stays() -> None:
    members = [Member(0, "a", frozenset(SHARDS))]
    assert not place([Node("a", draining=True)], members, 1, SHARDS)
    assert not place([], members, PER_NODE, SHARDS)


def test_an_isolated_execution_has_one_shard_and_one_actor() -> None:
    placement = place([Node("a"), Node("b")], [], PER_NODE, [7])
    assert [(start.index, start.shards) for start in placement.starts] == [(0, (7,))]
