"""A state as bytes and back."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.execution import evolve, fold, fold_on, initial
from raywf.core.failures import Failure
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.snapshot import EVERY, MAX_BYTES, Unreadable, decode, encode, next_at, size_of
from raywf.core.state import ExecutionState
from tests.unit.core.plans import World, answer_at_random, plans
from tests.unit.core.test_wide import chain, fan_out

GOLDEN = Path(__file__).parents[2] / "golden" / "snapshot.1.txt"


def round_trip(state: ExecutionState) -> ExecutionState:
    data = encode(state)
    assert data is not None
    return decode(data, state.plan)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), st.integers(0, 2**32))
def test_every_state_of_every_plan_comes_back_and_goes_on_as_it_was(plan: Plan, seed: int) -> None:
    world = World(plan, seed)
    world.run(answer_at_random, crashes=0.1)
    for state in world.states[:: max(1, len(world.states) // 12)]:
        assert round_trip(state) == state
    middle = len(world.history) // 2
    state = round_trip(fold(plan, world.history[:middle]))
    assert fold_on(state, world.history[middle:]) == world.state


def test_the_items_of_a_fan_out_come_back() -> None:
    history = [
        ev.ExecutionStarted(b"{}"),
        ev.MapStarted("f", 3000),
        *(ev.TaskCompleted(f"f[{item}]", 1, b'"\xc3\xa9 %d"' % item) for item in range(0, 2900, 2)),
        ev.AttemptLost("f[1]", 1, "gone"),
        ev.TaskCompleted("f[1]", 2, b"7"),
        ev.AttemptFailed("f[3]", Failure("ValueError", "no", "", 1), 1, 99.5),
        ev.AttemptStarted("f[5]", 1),
    ]
    state = fold(fan_out(), history)
    assert round_trip(state) == state


def test_a_fan_out_of_50_000_takes_few_bytes_while_nothing_has_ended() -> None:
    state = fold(fan_out(), [ev.ExecutionStarted(b"{}"), ev.MapStarted("f", 50_000)])
    assert len(encode(state) or b"") < 300


def test_a_snapshot_is_bound_to_the_shape_of_its_plan() -> None:
    data = encode(initial(chain(3)))
    assert data is not None
    other = chain(3)
    renamed = replace(other, nodes=(*other.nodes[:2], Node(2, "new", NodeKind.CALL)))
    for plan in (chain(4), renamed, fan_out()):
        with pytest.raises(Unreadable, match="another shape"):
            decode(data, plan)


def body_of(data: bytes | None) -> dict[str, object]:
    assert data is not None
    found = json.loads(zlib.decompress(data))
    assert isinstance(found, dict)
    return found


def packed(body: object) -> bytes:
    return zlib.compress(json.dumps(body).encode())


def test_what_is_damaged_or_newer_is_unreadable_and_nothing_worse() -> None:
    plan = chain(3)
    data = encode(evolve(initial(plan), ev.ExecutionStarted(b"{}")))
    body = body_of(data)
    assert data is not None
    bad = [b"", b"nonsense", data[:-3], bytes([*data[:-1], data[-1] ^ 1]), packed([]), packed({**body, "format": 2})]
    bad += [packed({**body, "state": {"left": 3, "of_tomorrow": 1}}), packed({**body, "tasks": [["new", 1, 2]]})]
    bad += [packed({**body, "tasks": [["same", 3, {"status": {"TaskStatus": "of tomorrow"}}]]})]
    for each in bad:
        with pytest.raises(Unreadable):
            decode(each, plan)


def test_a_field_that_is_missing_has_its_default() -> None:
    """So a field that a later version adds with a default reads today's snapshots."""
    plan = chain(2)
    state = initial(plan)
    body = body_of(encode(state))
    assert body["state"] == {"left": 2}
    assert decode(packed(body), plan) == state


def test_a_state_with_too_much_in_it_gets_none() -> None:
    state = evolve(initial(chain(1)), ev.ExecutionStarted(b"x" * (MAX_BYTES + 1)))
    assert encode(state) is None


def test_snapshots_of_a_growing_state_get_rarer_as_it_grows() -> None:
    """All together they keep at most about as many places as there are events: a constant cost per event."""
    seq, kept = 0, 0
    while seq < 100_000:
        kept += min(seq, 100_000)
        seq = next_at(seq, size=seq)
    assert kept <= 2 * 100_000
    assert next_at(10, size=3) == 10 + EVERY
    assert next_at(EVERY, size=100_000) == 2 * EVERY
    assert size_of(fold(fan_out(), [ev.ExecutionStarted(b"{}"), ev.MapStarted("f", 70)])) == 71


def golden_history() -> list[ev.Event]:
    return [
        ev.ExecutionStarted(b'{"n":1}'),
        ev.MapStarted("f", 40),
        *(ev.TaskCompleted(f"f[{item}]", 1, b"%d" % item) for item in range(10)),
        ev.AttemptLost("f[10]", 1, "the workflow actor died"),
        ev.AttemptFailed("f[11]", Failure("ValueError", "no", "trace", 1), 1, 1_700_000_000.5),
        ev.SignalReceived("go", b'"now"', "s-1"),
        ev.CancelRequested("enough"),
    ]


def test_snapshots_of_format_1_can_be_read_for_ever() -> None:
    """Not for correctness, which never needs one: so that an upgrade costs no minute of folding."""
    data = base64.b64decode(GOLDEN.read_text())
    assert decode(data, fan_out()) == fold(fan_out(), golden_history())
