"""The model of growth, against what can be worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.growth import Costs, Shape, flow, growth

FREE = Costs(client_us=0, loop_us=0, writer_us=0, others_us=0, fixed_ms=0)
SERVER = Shape(client_here=False, server="elsewhere")


def costs(**given: float) -> Costs:
    return Costs(**{"client_us": 0.0, "loop_us": 0.0, "writer_us": 0.0, "others_us": 0.0, "fixed_ms": 0.0} | given)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["client_us", "loop_us", "writer_us"])
def test_one_thing_that_costs_sets_the_rate(kind: str) -> None:
    assert flow(costs(**{kind: 100.0}), Shape(), 5_000).per_s == pytest.approx(10_000)


def test_what_follows_a_commit_comes_before_the_next_one_so_loop_and_writer_take_turns() -> None:
    both = costs(loop_us=60.0, writer_us=40.0)
    assert flow(both, Shape(cores=8), 20_000).per_s == pytest.approx(10_000, rel=0.1)


def test_a_client_checks_everything_before_it_sends_anything() -> None:
    began = costs(client_us=50.0, bind_us=50.0, loop_us=100.0)
    assert 10_000 / flow(began, Shape(), 10_000).per_s == pytest.approx(10_000 * (50 + 100) / 1e6, rel=0.02)


def test_commits_of_a_few_that_wait_for_the_disk_are_paid_by_turn_and_not_by_execution() -> None:
    slow = costs(fixed_ms=10.0)
    assert 500 / flow(slow, Shape(), 500).per_s == pytest.approx(6 * 0.010), "one batch: six turns, six commits"
    assert 1_000 / flow(slow, Shape(), 1_000).per_s == pytest.approx(7 * 0.010), "the first alone, then both together"
    assert 2_000 / flow(slow, Shape(), 2_000).per_s == pytest.approx(8 * 0.010), "the last rows do not fit into one"


def test_batches_that_are_not_accepted_yet_hold_up_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = costs(fixed_ms=10.0)
    monkeypatch.setattr("benchmarks.growth.IN_FLIGHT", 1)
    assert 2_000 / flow(slow, Shape(), 2_000).per_s == pytest.approx(9 * 0.010), (
        "the fourth is accepted by the fourth commit"
    )


def test_two_cores_do_not_do_the_work_of_three() -> None:
    busy = costs(client_us=100.0, loop_us=50.0, writer_us=50.0)
    assert flow(busy, Shape(cores=1), 20_000).per_s == pytest.approx(5_000, rel=0.05)
    assert flow(busy, Shape(cores=2), 20_000).per_s == pytest.approx(10_000, rel=0.15)


def test_two_actors_on_one_file_share_its_writer() -> None:
    found = flow(costs(writer_us=100.0), Shape(cores=8, actors=2), 5_000)
    assert found.per_s == pytest.approx(10_000)
    assert found.saturated == "store"


def test_nodes_add_up_until_the_server_is_full_and_a_second_server_doubles_that() -> None:
    loaded = costs(loop_us=300.0, server_us=60.0)
    points = growth(loaded, SERVER, (1, 2, 4, 8, 16), 5_000)
    assert [point.linear for point in points[:3]] == pytest.approx([1.0] * 3, rel=0.1)
    assert points[-1].per_s == pytest.approx(1e6 / 60, rel=0.05)
    assert points[0].saturated == "actor" and points[-1].saturated == "store"
    [twice] = growth(loaded, Shape(client_here=False, server="elsewhere", stores=2), (16,), 5_000)
    assert twice.per_s == pytest.approx(2e6 / 60, rel=0.1)


def test_the_same_question_has_the_same_answer() -> None:
    assert flow(costs(loop_us=50.0, fixed_ms=1.0), Shape(), 3_000) == flow(
        costs(loop_us=50.0, fixed_ms=1.0), Shape(), 3_000
    )
