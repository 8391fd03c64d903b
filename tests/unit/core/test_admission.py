"""Who may start: limits hold, larger priority goes first, keys take turns, nobody starves and nobody is overtaken."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.admission import Blocked, Claim, Meter, Rule, Slot, decide

ONE = {"l": Rule(concurrency=1)}


def ask(id: str, *claims: Claim, priority: int = 0, at: float = 0.0, held_at: float | None = None) -> Slot:
    return Slot(id, "o", priority, at, claims or (Claim("l"),), held_at)


def test_larger_priority_first_then_who_asked_first() -> None:
    waiting = [ask("late", at=2.0), ask("early", at=1.0), ask("urgent", priority=5, at=3.0)]
    order = []
    for _ in range(3):
        (admitted,) = decide(ONE, waiting, {}, 10.0).admitted
        order.append(admitted)
        waiting = [slot for slot in waiting if slot.id != admitted]
    assert order == ["urgent", "early", "late"]


def test_each_key_has_a_bucket_of_its_own() -> None:
    waiting = [ask("a1", Claim("l", "a")), ask("a2", Claim("l", "a"), at=1.0), ask("b1", Claim("l", "b"), at=2.0)]
    decision = decide(ONE, waiting, {}, 0.0)
    assert decision.admitted == ["a1", "b1"]
    assert decision.blocked == {"a2": Blocked("l", "a")}


def test_a_thousand_of_one_key_do_not_hold_up_the_first_of_another() -> None:
    crowd = [ask(f"a{number:04}", Claim("l", fair="a"), at=float(number)) for number in range(1000)]
    waiting = [*crowd, ask("b", Claim("l", fair="b"), at=5000.0)]
    meters: dict[Meter, float] = {}
    served = []
    for _ in range(3):
        decision = decide(ONE, waiting, meters, 0.0)
        meters |= decision.meters
        served += decision.admitted
        waiting = [slot for slot in waiting if slot.id not in served]
    assert served[:3] == ["a0000", "b", "a0001"]


def test_keys_share_by_units_and_who_comes_late_is_not_paid_for_the_past() -> None:
    rules = {"l": Rule(concurrency=1)}
    heavy = [ask(f"a{number}", Claim("l", units=2.0, fair="a"), at=float(number)) for number in range(20)]
    light = [ask(f"b{number:02}", Claim("l", units=1.0, fair="b"), at=float(number)) for number in range(20)]
    meters: dict[Meter, float] = {}
    waiting, served = heavy, Counter[str]()
    for turn in range(22):
        if turn == 10:
            waiting = waiting + light
        decision = decide(rules, waiting, meters, 0.0)
        meters |= decision.meters
        waiting = [slot for slot in waiting if slot.id not in decision.admitted]
        if turn >= 10:
            served.update(id_[0] for id_ in decision.admitted)
    assert abs(2 * served["a"] - served["b"]) <= 3, "the same units for both, to within one start"


def test_heavy_units_are_not_overtaken_by_light_ones() -> None:
    rules = {"l": Rule(concurrency=4)}
    held = ask("held", Claim("l", units=2.0), held_at=0.0)
    waiting = [held, ask("heavy", Claim("l", units=3.0), at=1.0), ask("light", Claim("l"), at=2.0)]
    decision = decide(rules, waiting, {}, 5.0)
    assert decision.admitted == []
    assert set(decision.blocked) == {"heavy", "light"}


def test_who_asks_for_more_than_there_is_runs_alone() -> None:
    rules = {"l": Rule(concurrency=2)}
    huge = ask("huge", Claim("l", units=5.0))
    assert decide(rules, [huge], {}, 0.0).admitted == ["huge"]
    assert decide(rules, [huge, ask("other", held_at=0.0)], {}, 0.0).admitted == []


def test_zero_closes_a_limit() -> None:
    assert decide({"l": Rule(concurrency=0)}, [ask("x")], {}, 0.0).admitted == []


def test_what_waits_for_one_limit_takes_nothing_of_the_other() -> None:
    rules = {"l": Rule(concurrency=1), "m": Rule(concurrency=1)}
    both = ask("both", Claim("m"), Claim("l"))
    decision = decide(rules, [both, ask("held", held_at=0.0), ask("m", Claim("m"), at=1.0)], {}, 0.0)
    assert decision.admitted == ["m"]


def test_a_limit_without_a_rule_lets_pass() -> None:
    assert decide({}, [ask("x")], {}, 0.0).admitted == ["x"]


def test_a_rate_says_when_to_look_again() -> None:
    rules = {"l": Rule(count=60.0, per=60.0, burst=2.0)}
    waiting = [ask(str(number), at=float(number)) for number in range(4)]
    decision = decide(rules, waiting, {}, 100.0)
    assert decision.admitted == ["0", "1"]
    assert decision.look_at == 101.0
    assert decision.blocked["3"] == Blocked("l", "", 101.0)


@given(
    st.integers(1, 5),
    st.floats(0.5, 10.0),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 2.0)), min_size=1, max_size=40),
)
def test_a_rate_is_never_exceeded_in_any_window(count: int, per: float, coming: list[tuple[float, float]]) -> None:
    rules = {"l": Rule(count=float(count), per=per)}
    now, meters, started = 1_000_000.0, dict[Meter, float](), list[tuple[float, float]]()
    for number, (pause, units) in enumerate(coming):
        now += pause
        slot = ask(str(number), Claim("l", units=min(units, float(count))))
        decision = decide(rules, [slot], meters, now)
        if not decision.admitted:
            assert decision.look_at is not None
            now = decision.look_at
            decision = decide(rules, [slot], meters, now)
            assert decision.admitted, "it is admitted at the instant that was named"
        meters |= decision.meters
        started.append((now, slot.claims[0].units))
    for begin, _ in started:
        within = sum(units for at, units in started if begin <= at < begin + per)
        assert within <= 2 * count + 1e-6, "a bucket that was full, and what came in meanwhile"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("ab"), st.booleans()), max_size=30))
def test_concurrency_is_never_exceeded_and_no_room_is_left(slots: list[tuple[int, int, str, bool]]) -> None:
    rule = Rule(concurrency=4)
    asked, used = [], Counter[str]()
    for number, (priority, units, key, held) in enumerate(slots):
        held = held and used[key] + units <= 4
        used[key] += units if held else 0
        claim = Claim("l", key, float(units))
        asked.append(ask(f"{number:02}", claim, priority=priority, at=float(number), held_at=0.0 if held else None))
    decision = decide({"l": rule}, asked, {}, 0.0)
    for slot in asked:
        if slot.id in decision.admitted:
            used[slot.claims[0].key] += int(slot.claims[0].units)
    assert all(count <= 4 for count in used.values())
    waiting = {slot.id: slot for slot in asked if slot.held_at is None}
    assert set(decision.admitted) | set(decision.blocked) == set(waiting)
    for key in "ab":
        blocked = [waiting[id_] for id_ in decision.blocked if waiting[id_].claims[0].key == key]
        if blocked:
            first = min(blocked, key=lambda slot: (-slot.priority, slot.asked_at))
            assert used[key] + first.claims[0].units > 4, "who is first of those that wait has no room"
