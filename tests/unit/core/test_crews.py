"""How many workers a pool has, and who gets the next free one: decided from what is known, and never beyond its bounds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.crews import (
    TRIES,
    Ask,
    CallOff,
    Counts,
    CrewRule,
    GiveUp,
    Grant,
    Leave,
    Load,
    Phase,
    Setbacks,
    Start,
    Worker,
    count,
    decide,
    grants,
    waits_for,
    wanted,
)

NONE = Setbacks()


def ready(id: int, busy: int = 0, free_at: float = 0.0, **more: int | bool) -> Worker:
    return Worker(id, Phase.READY, 0.0, busy, free_at=free_at, **more)  # type: ignore[arg-type]


def test_a_worker_per_waiting_task_up_to_max_where_nothing_is_known_of_their_length() -> None:
    assert decide(CrewRule(max=4), [], Load(waiting=9), NONE, 0.0) == [Start(4)]
    assert decide(CrewRule(max=4), [], Load(waiting=2), NONE, 0.0) == [Start(2)]
    assert decide(CrewRule(max=4, concurrency=8), [], Load(waiting=9), NONE, 0.0) == [Start(2)]


def test_no_worker_is_loaded_for_what_is_done_before_it_would_be_ready() -> None:
    rule, one = CrewRule(max=4), [ready(1, busy=1)]
    short = Load(waiting=100, task_s=0.01, setup_s=30.0)
    assert decide(rule, one, short, NONE, 0.0) == []
    assert decide(rule, one, replace(short, waiting=10_000), NONE, 0.0) == [Start(3)]
    assert decide(rule, one, replace(short, waiting=4500), NONE, 0.0) == [Start(1)]


def test_tasks_that_were_short_until_now_do_not_wait_for_ever_behind_a_long_one() -> None:
    stuck = Load(waiting=1, waited_s=31.0, task_s=0.01, setup_s=30.0)
    assert decide(CrewRule(max=4), [ready(1, busy=1)], stuck, NONE, 0.0) == [Start(1)]


def test_what_waits_for_a_place_is_called_off_when_nothing_waits_for_it() -> None:
    asked = Worker(2, Phase.ASKED, 0.0)
    assert decide(CrewRule(max=2), [ready(1, busy=1), asked], Load(), NONE, 0.0) == [CallOff(2)]
    assert decide(CrewRule(max=2), [ready(1, busy=1), asked], Load(waiting=1), NONE, 0.0) == []


def test_idle_workers_leave_after_their_time_down_to_min_the_longest_idle_first() -> None:
    rule = CrewRule(min=1, max=3, idle_timeout=60.0)
    crew = [ready(1, free_at=20.0), ready(2, free_at=10.0), ready(3, free_at=30.0)]
    assert decide(rule, crew, Load(), NONE, 69.0) == []
    assert decide(rule, crew, Load(), NONE, 70.0) == [Leave(2)]
    assert decide(rule, crew, Load(), NONE, 1e9) == [Leave(2), Leave(1)]
    assert decide(rule, crew, Load(waiting=3), NONE, 1e9) == []


def test_a_worker_that_has_served_its_time_ends_its_tasks_and_its_successor_loads_meanwhile() -> None:
    rule = CrewRule(max=2, max_tasks=10)
    assert decide(rule, [ready(1, served=10)], Load(), NONE, 0.0) == [Leave(1)]
    assert decide(rule, [ready(1, busy=1, served=10)], Load(waiting=1), NONE, 0.0) == [Start(1)]
    full = replace(rule, max=1)  # its resources are its successor's
    assert decide(full, [ready(1, busy=1, served=10)], Load(waiting=1), NONE, 0.0) == []


def test_a_worn_worker_leaves_as_soon_as_it_runs_nothing() -> None:
    assert decide(CrewRule(), [ready(1, worn=True)], Load(), NONE, 0.0) == [Leave(1)]
    assert decide(CrewRule(max=2), [ready(1, 1, worn=True)], Load(), NONE, 0.0) == []


def test_a_setup_that_takes_too_long_is_given_up() -> None:
    rule = CrewRule(setup_timeout=600.0)
    loading = Worker(1, Phase.LOADING, 100.0)
    assert decide(rule, [loading], Load(waiting=1), NONE, 699.0) == []
    assert decide(rule, [loading], Load(waiting=1), NONE, 700.0) == [GiveUp(1)]
    waits = Worker(1, Phase.ASKED, 100.0)  # for a place: that is no setup
    assert decide(rule, [waits], Load(waiting=1), NONE, 1e9) == []


def test_after_a_setback_one_worker_at_a_time_is_tried_after_a_pause_that_grows() -> None:
    once = NONE.after(started_at=0.0, now=100.0)
    rule, load = CrewRule(max=4), Load(waiting=9)
    assert decide(rule, [], load, once, 100.4) == []
    assert decide(rule, [], load, once, 100.5) == [Start(1)]
    assert decide(rule, [Worker(1, Phase.LOADING, 100.5)], load, once, 101.0) == []
    thrice = once.after(100.5, 101.0).after(102.0, 103.0)
    assert (thrice.count, thrice.is_given_up) == (TRIES, True)
    assert thrice.retry_at == 105.0


def test_setups_that_were_under_way_together_fail_as_one() -> None:
    """One bad moment, four workers loading: that is one try."""
    setbacks = NONE
    for _ in range(4):
        setbacks = setbacks.after(started_at=0.0, now=10.0)
    assert setbacks.count == 1


def test_slots_go_round_the_users_and_to_the_least_busy_worker() -> None:
    rule = CrewRule(max=2, concurrency=2)
    crew = [ready(1, busy=1), ready(2)]
    given = grants(rule, crew, [Ask("a", 9), Ask("b", 9)])
    assert [(each.user, each.worker) for each in given] == [("a", 2), ("b", 1), ("a", 2)]


def test_of_idle_workers_the_one_that_was_busy_last_is_taken() -> None:
    """So the others can become idle for long enough to leave."""
    given = grants(CrewRule(max=2), [ready(1, free_at=5.0), ready(2, free_at=9.0)], [Ask("a", 1)])
    assert given == [Grant("a", 2, False, None)]


def test_who_must_be_alone_gets_an_idle_worker_and_until_there_is_one_one_is_left_to_become_so() -> None:
    rule = CrewRule(max=2, concurrency=2)
    both = [ready(1, busy=1), ready(2)]
    assert grants(rule, both, [Ask("a", 1, alone=1)]) == [Grant("a", 2, True, None)]
    busy = [ready(1, busy=1), ready(2, busy=2)]
    assert grants(rule, busy, [Ask("a", 1, alone=1), Ask("b", 5)]) == []
    assert grants(rule, [ready(1, busy=1, shut=True), ready(2, busy=1)], [Ask("b", 5)]) == [Grant("b", 2, False, None)]


def test_a_grant_says_how_many_tasks_are_left_of_a_workers_time() -> None:
    assert grants(CrewRule(max_tasks=10), [ready(1, served=7)], [Ask("a", 5)]) == [Grant("a", 1, False, 3)]


def test_what_is_waited_for_in_words() -> None:
    rule, gpu = CrewRule(max=4), (("CPU", 1.0), ("GPU", 1.0))
    nodes = [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 0.5}]
    assert waits_for("ocr", rule, Counts(loading=1, asked=2), gpu, nodes, None) == (
        "a worker of pool ocr: 0 of 4 ready, 1 loading, 2 without a place, each asks for GPU 1 and no node has more than 0.5"
    )
    assert waits_for("ocr", rule, Counts(asked=1), gpu, [{"CPU": 8.0}], None).endswith(
        "asks for GPU 1 and no node has any"
    )
    apart = [{"CPU": 8.0}, {"GPU": 1.0}]
    assert "CPU 1, GPU 1 and no node has all of it" in waits_for("ocr", rule, Counts(asked=1), gpu, apart, None)
    fits = waits_for("ocr", rule, Counts(asked=1), gpu, [{"CPU": 8.0, "GPU": 1.0}], None)
    assert fits.endswith("which is in use or being prepared")
    assert waits_for("ocr", rule, Counts(ready=4, busy=4), gpu, nodes, None) == (
        "a worker of pool ocr: 4 of 4 ready and all busy"
    )
    assert waits_for("ocr", rule, Counts(), gpu, nodes, "OSError: no model").endswith(
        "the last setup failed: OSError: no model"
    )


rules = st.builds(
    lambda low, more, concurrency, idle, max_tasks: CrewRule(low, low + more, concurrency, idle, 600.0, max_tasks),
    st.integers(0, 3),
    st.integers(1, 5),
    st.integers(1, 4),
    st.floats(0.1, 100.0),
    st.none() | st.integers(1, 20),
)
seconds = st.floats(0.0, 1000.0)


@st.composite
def crews(draw: st.DrawFn) -> tuple[CrewRule, list[Worker]]:
    rule = draw(rules)
    workers = []
    for id in range(draw(st.integers(0, rule.max))):
        phase = draw(st.sampled_from(Phase))
        is_ready = phase is Phase.READY
        busy = draw(st.integers(0, rule.concurrency)) if is_ready else 0
        served = draw(st.integers(0, 20)) if is_ready else 0
        workers.append(
            Worker(id, phase, draw(seconds), busy, served, draw(seconds), False, is_ready and draw(st.booleans()))
        )
    return rule, workers


loads = st.builds(Load, st.integers(0, 50), seconds, st.none() | seconds, st.none() | seconds)
setbacks = st.builds(Setbacks, st.integers(0, 5), seconds)


@given(crews(), loads, setbacks, seconds)
def test_a_crew_stays_within_its_bounds_and_nothing_that_runs_is_ended(
    crew: tuple[CrewRule, list[Worker]], load: Load, setback: Setbacks, now: float
) -> None:
    rule, workers = crew
    by_id = {each.id: each for each in workers}
    decisions = decide(rule, workers, load, setback, now)
    started = sum(each.count for each in decisions if isinstance(each, Start))
    ended = [each.worker for each in decisions if not isinstance(each, Start)]
    assert len(ended) == len(set(ended))
    assert started >= 0
    assert started + sum(each.phase is not Phase.LEAVING for each in workers) <= rule.max or not started
    for worker in ended:
        assert by_id[worker].busy == 0
        assert by_id[worker].phase is not Phase.LEAVING


@given(crews(), loads, seconds)
def test_what_waits_is_served_or_somebody_is_on_the_way(
    crew: tuple[CrewRule, list[Worker]], load: Load, now: float
) -> None:
    """Without setbacks no task waits for a worker that nobody starts."""
    rule, workers = crew
    load = replace(load, waiting=max(1, load.waiting))
    decisions = decide(rule, workers, load, NONE, now)
    given = grants(rule, workers, [Ask("a", load.waiting)])
    coming = any(each.phase in (Phase.ASKED, Phase.LOADING) for each in workers)
    busy = any(each.busy for each in workers)
    leaves = any(isinstance(each, (Leave, GiveUp)) for each in decisions)
    assert given or coming or busy or leaves or any(isinstance(each, Start) for each in decisions)


@given(rules, loads, st.integers(0, 50))
def test_more_work_never_wants_fewer_workers(rule: CrewRule, load: Load, more: int) -> None:
    assert wanted(rule, [], replace(load, waiting=load.waiting + more)) >= wanted(rule, [], load)


@given(rules, loads)
def test_deciding_again_after_a_start_starts_no_more(rule: CrewRule, load: Load) -> None:
    first = decide(rule, [], load, NONE, 0.0)
    asked = [Worker(id, Phase.ASKED, 0.0) for id in range(sum(each.count for each in first if isinstance(each, Start)))]
    assert decide(rule, asked, load, NONE, 0.0) == []


@given(crews(), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4))
def test_nobody_gets_more_than_asked_for_and_no_worker_more_than_it_can_do(
    crew: tuple[CrewRule, list[Worker]], asked: list[tuple[int, int]]
) -> None:
    rule, workers = crew
    asks = [Ask(str(at), max(pair), min(pair)) for at, pair in enumerate(asked)]
    given = grants(rule, workers, asks)
    for ask in asks:
        mine = [each for each in given if each.user == ask.user]
        assert len(mine) <= ask.waiting
        assert sum(each.alone for each in mine) <= ask.alone
    for worker in workers:
        mine = [each for each in given if each.worker == worker.id]
        assert not mine or worker.phase is Phase.READY
        assert worker.busy + len(mine) <= rule.concurrency or not mine
        if any(each.alone for each in mine):
            assert len(mine) == 1 and not worker.busy
        if rule.max_tasks is not None and mine:
            assert worker.served + len(mine) <= max(rule.max_tasks, worker.served + 1)


@given(crews(), st.integers(0, 9))
def test_a_crew_in_numbers_adds_up(crew: tuple[CrewRule, list[Worker]], waiting: int) -> None:
    _, workers = crew
    counts = count(workers, waiting)
    assert counts.asked + counts.loading + counts.ready + counts.leaving == len(workers)
    assert counts.busy <= counts.ready
