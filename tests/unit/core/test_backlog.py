"""What a backlog is worth to the autoscaler."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.backlog import KEEP_S, Demand, Request, as_list, decide, wanted

CPU = (("CPU", 1.0),)
GPU = (("CPU", 1.0), ("GPU", 1.0))
needs = st.sampled_from([CPU, GPU, (("mine", 0.5),), (("CPU", 0.0),)])
demands = st.lists(st.builds(Demand, needs, st.integers(0, 5000), st.none() | st.floats(0.001, 1000)), max_size=6)


def test_long_tasks_are_worth_a_bundle_each_and_short_ones_share() -> None:
    assert wanted([Demand(CPU, 40, 120.0)], 100) == {CPU: 40}
    assert wanted([Demand(CPU, 40, None)], 100) == {CPU: 40}, "nobody knows yet: Ray would scale for each as well"
    assert wanted([Demand(CPU, 6000, 0.05)], 100) == {CPU: 5}, "300 s of work are done in a minute by 5"
    assert wanted([Demand(CPU, 3, 0.001)], 100) == {CPU: 1}
    assert wanted([], 100) == {} == wanted([Demand((("CPU", 0.0),), 9, None)], 100)


@given(demands, st.integers(1, 200))
def test_the_limit_holds_and_no_kind_is_forgotten(demands: list[Demand], most: int) -> None:
    found = wanted(demands, most)
    assert sum(found.values()) <= most and all(found.values())
    kinds = {each.needs for each in demands if each.tasks and each.needs != (("CPU", 0.0),)}
    assert set(found) <= kinds and len(found) == min(len(kinds), max(len(found), min(most, len(kinds))))
    for kind, count in found.items():
        assert count <= sum(each.tasks for each in demands if each.needs == kind)


def test_more_at_once_less_after_a_while_and_nothing_in_the_end() -> None:
    asked = decide(Request(), {CPU: 3}, 0.0)
    assert as_list(asked) == [{"CPU": 1.0}] * 3
    asked = decide(asked, {CPU: 8}, 1.0)
    assert asked.bundles == {CPU: 8}
    lull = decide(asked, {}, 2.0)
    assert lull.bundles == {CPU: 8}, "a lull is not the end"
    assert decide(lull, {CPU: 8}, 20.0).less_since is None
    assert decide(lull, {CPU: 1}, 1.9 + KEEP_S).bundles == {CPU: 8}
    assert decide(lull, {CPU: 1}, 2.0 + KEEP_S).bundles == {CPU: 1}
    assert as_list(decide(lull, {}, 2.0 + KEEP_S)) == []
