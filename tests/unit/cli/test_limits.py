"""`raywf limits`: who holds what, and a change that counts from the next start on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from raywf.core.admission import Claim, Rule, Slot
from raywf.ports import LimitRow
from tests.unit.cli import flows
from tests.unit.cli.stores import STARTED, FilledStore

Cli = Callable[..., Any]


@pytest.fixture
def used(store: FilledStore) -> FilledStore:
    store.add(flows.review, [STARTED], id="e1")
    store.add(flows.review, [STARTED], id="e2", status="waiting", waiting_for="limit: room in the limit 'openai'")
    store.hold()
    asks = [Slot(id_, "live", 0, float(at), (Claim("openai"),), None, id_) for at, id_ in enumerate(["e1", "e2"])]
    row = LimitRow("default", "openai", Rule(concurrency=1), None)
    store._call(lambda journal: journal.admit("default", "live", asks, (), [row]))
    return store


def test_limits_are_listed_with_who_holds_them(cli: Cli, used: FilledStore) -> None:
    ended = cli("limits", "--store", used.url)
    assert ended.out == "openai: 1 at a time (as declared); 1 held, 1 waiting; held by e1\n"


def test_why_names_the_limit_and_who_holds_it(cli: Cli, used: FilledStore) -> None:
    assert "- room in the limit 'openai'; held by e1\n" in cli("why", "e2", "--store", used.url).out


def test_a_limit_is_set_and_reset(cli: Cli, used: FilledStore) -> None:
    ended = cli("limits", "openai", "--concurrency", "5", "--rate", "100/60", "--by", "ann", "--store", used.url)
    assert ended.out == "openai: 5 at a time and 100 per 60 s (set by ann); 1 held, 1 waiting; held by e1\n"
    (row,) = json.loads(cli("limits", "--store", used.url, "--json").out)
    assert row["rule"] == {"concurrency": 5, "count": 100.0, "per": 60.0}
    assert cli("limits", "openai", "--reset", "--store", used.url).code == 0
    assert cli("limits", "openai", "--reset", "--store", used.url).code == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--concurrency", "5"), "which limit?"),
        (("openai", "--rate", "fast"), "is not N/SECONDS"),
        (("openai", "--concurrency", "-1"), "whole number from 0"),
        (("openai", "--reset", "--concurrency", "1"), "leave --concurrency and --rate out"),
        (("open ai", "--concurrency", "1"), "named 'open ai'"),
    ],
)
def test_wrong_usage_changes_nothing(cli: Cli, used: FilledStore, words: tuple[str, ...], said: str) -> None:
    ended = cli("limits", *words, "--store", used.url)
    assert ended.code == 2
    assert said in ended.err
    assert "(as declared)" in cli("limits", "--store", used.url).out
