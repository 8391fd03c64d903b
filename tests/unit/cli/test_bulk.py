"""One command to all that a query finds: counted, confirmed, sent once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli import flows
from tests.unit.cli.stores import BEGAN, CANCELLED, COMPLETED, FAILED, WAITS, FilledStore

Cli = Callable[..., Any]


@pytest.fixture
def filled(store: FilledStore) -> FilledStore:
    for number, history in enumerate((FAILED, CANCELLED, COMPLETED, WAITS, FAILED, FAILED)):
        blue = {"team": "blue" if number < 4 else "red"}
        store.add(flows.review, history, id=f"e{number}", tags=blue, created_at=BEGAN + 3600 * number)
    store.add(flows.review, FAILED, id="e5/review", parent="e5", tags={"team": "red"})
    return store


def sent(store: FilledStore) -> list[tuple[str, str]]:
    return [(row.kind, row.execution) for row in store.inbox()]


def test_a_dry_run_prints_the_ids_and_sends_nothing(cli: Cli, filled: FilledStore) -> None:
    ended = cli("retry", "--where", "status=failed", "--dry-run", "--store", filled.url)
    assert (ended.code, ended.out.split()) == (0, ["e5", "e4", "e0"])
    assert "3 executions to retry where status=failed; nothing was done" in ended.err
    assert sent(filled) == []


def test_without_a_terminal_it_wants_a_yes(cli: Cli, filled: FilledStore) -> None:
    ended = cli("retry", "--where", "status=failed", "--store", filled.url)
    assert ended.code == 2
    assert "3 executions would be asked to retry where status=failed (e5, e4, e0): say --yes" in ended.err
    assert sent(filled) == []


def test_yes_sends_to_those_to_which_it_applies_and_children_go_with_their_roots(cli: Cli, filled: FilledStore) -> None:
    ended = cli("retry", "--where", "tag.team=blue", "--yes", "--store", filled.url)
    assert ended.code == 0 and "2 of 2 executions asked to retry" in ended.err
    assert sent(filled) == [("retry", "e1"), ("retry", "e0")]
    again = cli("retry", "--where", "tag.team=blue", "--yes", "--store", filled.url)
    assert again.code == 0 and "0 of 2 executions asked to retry; 2 had moved on" in again.err
    assert len(sent(filled)) == 2


@pytest.mark.parametrize(
    ("action", "where", "ids"),
    [
        ("cancel", ["workflow=review"], ["e3"]),
        ("pause", ["status=waiting"], ["e3"]),
        ("resume", ["status=paused"], []),
        ("retry", ["started_after=2023-11-15T01:00:00+00:00"], ["e5", "e4"]),
        ("retry", ["started_before=2023-11-14T23:00:00+00:00", "tag.team=blue"], ["e0"]),
        ("retry", ["workflow=another"], []),
    ],
)
def test_each_action_finds_what_it_is_for(
    cli: Cli, filled: FilledStore, action: str, where: list[str], ids: list[str]
) -> None:
    words = [word for each in where for word in ("--where", each)]
    ended = cli(action, *words, "--yes", "--store", filled.url)
    assert ended.code == 0
    assert sent(filled) == [(action, id_) for id_ in ids]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "statsu=failed"], "Did you mean 'status'?"),
        (["--where", "status=faild"], "Did you mean 'failed'?"),
        (["--where", "status=running"], "retry is for executions that are failed or cancelled, not running"),
        (["--where", "failed"], "it is written KEY=VALUE"),
        (["--where", "started_after=yesterday"], "write 2024-05-01"),
        (["--where", "status=failed", "--where", "status=cancelled"], "status is given twice"),
        (["e0", "--where", "status=failed"], "an id goes alone"),
        (["e0", "--dry-run"], "an id goes alone"),
        ([], "which executions?"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_sent(
    cli: Cli, filled: FilledStore, words: list[str], said: str
) -> None:
    ended = cli("retry", *words, "--yes", "--store", filled.url)
    assert ended.code == 2 and said in ended.err
    assert sent(filled) == []


def test_what_cannot_be_retried_is_named_with_the_reason(cli: Cli, filled: FilledStore) -> None:
    filled.add(flows.review, FAILED, id="late", deadline=BEGAN + 5, tags={"team": "green"})
    ended = cli("retry", "--where", "tag.team=green", "--yes", "--store", filled.url)
    assert ended.code == 2 and "late: execution 'late' had a deadline" in ended.err


def test_ls_by_time(cli: Cli, filled: FilledStore) -> None:
    ended = cli("ls", "--started-after", "2023-11-15T02:00:00+00:00", "--json", "--store", filled.url)
    assert '"e4"' in ended.out and '"e3"' not in ended.out
    ended = cli("ls", "--started-after", "2h", "--store", filled.url)
    assert "No executions like that" in ended.err
    assert cli("ls", "--started-after", "soon", "--store", filled.url).code == 2
