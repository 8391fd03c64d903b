"""`raywf cache`: what is kept for reuse, and forgetting it."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from raywf.core import events as ev
from raywf.ports import Batch
from raywf.testing.cache_contract import a_result
from tests.unit.cli import flows
from tests.unit.cli.stores import BEGAN, LANE, STARTED, FilledStore

Cli = Callable[..., Any]


@pytest.fixture
def kept(store: FilledStore) -> FilledStore:
    rows = [
        a_result("a" * 64, stored_at=BEGAN),
        a_result("b" * 64, task="app.tasks:write", stored_at=BEGAN + 1, expires_at=BEGAN + 61),
    ]
    assert inf in rows[0]
    store._call(lambda journal: journal.commit(Batch(LANE, "owner-1", cached=rows)))
    return store


def test_kept_results_are_listed_with_where_they_are_from(cli: Cli, kept: FilledStore) -> None:
    assert cli("cache", "ls", "--store", kept.url).out == (
        "app.tasks:write  3 bytes  from e-7 (search) at 2023-11-14 22:13:21, until 2023-11-14 22:14:21\n"
        "app.tasks:search  3 bytes  from e-7 (search) at 2023-11-14 22:13:20, until cleared\n"
    )
    (row,) = json.loads(cli("cache", "ls", "--task", "search", "--json", "--store", kept.url).out)
    assert (row["key"], row["task"], row["expires_at"]) == ("a" * 64, "app.tasks:search", None)
    assert cli("cache", "ls", "--task", "nothing", "--store", kept.url).out.startswith(
        "No kept results of 'nothing' in"
    )


def test_kept_results_are_cleared_by_task_age_and_key(cli: Cli, kept: FilledStore) -> None:
    assert cli("cache", "clear", "--task", "nothing", "--store", kept.url).out == "0 kept results cleared\n"
    assert cli("cache", "clear", "--expired", "--store", kept.url).out == "1 kept result cleared\n"
    assert cli("cache", "clear", "--key", "a" * 64, "--store", kept.url).out == "1 kept result cleared\n"
    assert cli("cache", "clear", "--all", "--store", kept.url).out == "0 kept results cleared\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "clear what?"), (("--all", "--expired"), "--all clears everything"), (("--task", ""), "clear what?")],
)
def test_clearing_needs_to_be_told_what(cli: Cli, kept: FilledStore, words: tuple[str, ...], said: str) -> None:
    ended = cli("cache", "clear", *words, "--store", kept.url)
    assert (ended.code, said in ended.err) == (2, True)


def test_a_history_says_what_was_reused(cli: Cli, store: FilledStore) -> None:
    task = flows.review.plan.nodes[0].id
    reused = ev.ResultReused(task, 1, b'"x"', "e-7", "search", BEGAN, "k")
    store.add(flows.review, [STARTED, reused], id="e1")
    text = " ".join(cli("history", "e1", "--store", store.url).out.split())
    assert "result reused" in text
    assert "from e-7 (search) at" in text
    assert "reused from e-7" in " ".join(cli("show", "e1", "--store", store.url).out.split())
