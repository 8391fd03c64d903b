"""Which calls are the same, and which results count."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from raywf.core.caching import CachePolicy, cache_key, expires_at, is_fresh, replaces

ANY = CachePolicy()
GIVEN: dict[str, bytes | list[bytes]] = {"a": b'{"x":1,"y":[2.5,null]}', "b": b'"q"', "*rest": [b"1", b"2"]}


def key(policy: CachePolicy = ANY, **changes: Any) -> str:
    given = {"function": "app:f", "code": "c1", "workflow": "w", "arguments": GIVEN, **changes}
    return cache_key(policy, **given)


def test_a_key_is_the_same_for_ever() -> None:
    """In every process and every version: else all that was kept is lost by an upgrade."""
    assert key() == "5909edf73ab49edfc01d3d089c9fddb5e213166c9333ddeddc59ff0b8e79965e"


def test_the_order_of_keys_and_parameters_makes_no_difference() -> None:
    assert key(arguments={"*rest": [b"1", b"2"], "b": b'"q"', "a": b'{"y": [2.5, null], "x": 1}'}) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"function": "app:g"},
        {"code": "c2"},
        {"arguments": {**GIVEN, "b": b'"r"'}},
        {"arguments": {**GIVEN, "a": b'{"x":1.0,"y":[2.5,null]}'}},
        {"arguments": {**GIVEN, "*rest": [b"2", b"1"]}},
        {"arguments": {"a": GIVEN["a"], "b": GIVEN["b"]}},
        {"arguments": {**GIVEN, "c": b"null"}},
    ],
)
def test_whatever_else_is_different_is_another_call(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_the_workflow_counts_where_the_scope_says_so() -> None:
    own = CachePolicy(scope="workflow")
    assert key(workflow="v") == key()
    assert len({key(), key(own), key(own, workflow="v")}) == 3


def test_a_version_takes_the_place_of_the_source() -> None:
    assert key(CachePolicy(version="2"), code="c2") == key(CachePolicy(version="2"))
    assert key(CachePolicy(version="2")) != key(CachePolicy(version="3"))
    assert key(CachePolicy(version="c1")) != key(), "a version is not taken for a hash"


def test_ignored_arguments_are_not_looked_at() -> None:
    assert key(CachePolicy(ignore=("b",)), arguments={**GIVEN, "b": b"1"}) == key(CachePolicy(ignore=("b",)))


@pytest.mark.parametrize(
    ("ttl", "stored_at", "until", "fresh"),
    [
        (inf, 0.0, inf, True),
        (10.0, 95.0, inf, True),
        (10.0, 90.0, inf, False),  # too old for whoever asks
        (inf, 90.0, 100.0, False),  # expired at this very instant
        (inf, 90.0, 100.5, True),
    ],
)
def test_a_result_counts_while_nobody_finds_it_too_old(ttl: float, stored_at: float, until: float, fresh: bool) -> None:
    assert is_fresh(CachePolicy(ttl=ttl), stored_at, until, 100.0) is fresh


def test_what_does_not_expire_never_does() -> None:
    assert expires_at(ANY, 5.0) == inf
    assert expires_at(CachePolicy(ttl=2.0), 5.0) == 7.0


@pytest.mark.parametrize(
    ("known", "new", "gives_way"),
    [
        ((0.0, inf), (5.0, inf), False),
        ((0.0, 5.0), (5.0, inf), True),
        ((0.0, inf), (50.0, 60.0), True),  # whoever wants it ten seconds old at most
        ((45.0, inf), (50.0, 60.0), False),
        ((50.0, 60.0), (45.0, 55.0), False),  # a late commit of an older result
    ],
)
def test_the_first_result_counts_until_it_is_too_old(
    known: tuple[float, float], new: tuple[float, float], gives_way: bool
) -> None:
    assert replaces(known, new) is gives_way
