"""Commands to executions: what lies in the inbox afterwards, and what is said about who takes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from raywf.core import events as ev
from tests.unit.cli import flows
from tests.unit.cli.stores import COMPLETED, FAILED, LANE, WAITS, FilledStore

Cli = Callable[..., Any]


@pytest.fixture
def filled(store: FilledStore) -> FilledStore:
    store.add(flows.review, COMPLETED, id="done-1")
    store.add(flows.review, WAITS, id="waits-1")
    store.add(flows.signalled, [ev.ExecutionStarted(b"{}"), ev.SignalAwaited("wait_signal", "go")], id="signal-1")
    asked = [ev.ApprovalRequested(name, "?", b"null") for name in ("approval", "approval-2")]
    store.add(flows.two_persons, [ev.ExecutionStarted(b"{}"), *asked], id="two-1")
    return store


def sent(store: FilledStore) -> list[tuple[str, str, dict[str, Any], str | None]]:
    return [(row.execution, row.kind, json.loads(row.body), row.by) for row in store.inbox()]


def test_an_approval_is_a_row_that_a_live_engine_takes_at_once(cli: Cli, filled: FilledStore) -> None:
    filled.hold()
    ended = cli("approve", "waits-1", "--by", "anna", "--comment", "fine", "--store", filled.url)
    assert ended.code == 0
    assert ended.out.startswith("waits-1: approved by anna; the engine of process ")
    assert ended.out.splitlines()[0].endswith("Ray at 127.0.0.1:6379 takes it within 200 ms")
    assert sent(filled) == [("waits-1", "approve", {"task": "approval", "comment": "fine"}, "anna")]


def test_without_an_engine_it_waits_for_the_next(cli: Cli, filled: FilledStore) -> None:
    ended = cli("reject", "waits-1", "--by", "anna", "--store", filled.url)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "waits-1: rejected by anna; no engine holds it now, so this waits in the inbox for the next one",
        f"next: raywf run TARGET --id waits-1 --store {filled.url}",
    ]


def test_an_engine_of_another_project_does_not_take_it(cli: Cli, filled: FilledStore) -> None:
    filled.hold(lane=f"{LANE}-of-others")
    assert "no engine holds it now" in cli("approve", "waits-1", "--store", filled.url).out


def test_who_acts_is_the_user_unless_said(cli: Cli, filled: FilledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "berta")
    cli("approve", "waits-1", "--store", filled.url)
    assert sent(filled)[0][3] == "berta"


def test_two_approvals_need_a_task(cli: Cli, filled: FilledStore) -> None:
    ended = cli("approve", "two-1", "--store", filled.url)
    assert ended.code == 2
    assert "say which task" in ended.err
    assert cli("approve", "two-1", "--task", "approval-2", "--store", filled.url).code == 0
    assert sent(filled)[0][2] == {"task": "approval-2", "comment": ""}


def test_what_asks_nobody_cannot_be_approved(cli: Cli, filled: FilledStore) -> None:
    ended = cli("approve", "signal-1", "--store", filled.url)
    assert ended.code == 2
    assert "is not waiting for an approval" in ended.err


def test_a_signal_carries_json(cli: Cli, filled: FilledStore) -> None:
    ended = cli("signal", "signal-1", "go", "7", "--id", "once", "--by", "anna", "--store", filled.url)
    assert ended.code == 0
    assert ended.out.startswith("signal-1: signal 'go' sent; ")
    assert sent(filled) == [("signal-1", "signal", {"name": "go", "value": "7"}, "anna")]


def test_a_signal_with_the_same_id_counts_once(cli: Cli, filled: FilledStore) -> None:
    for _ in range(2):
        ended = cli("signal", "signal-1", "go", "7", "--id", "once", "--store", filled.url)
    assert ended.code == 0
    assert "was sent before" in ended.out
    assert len(sent(filled)) == 1


@pytest.mark.parametrize(("payload", "says"), [("{", "line 1 column 2"), ('"seven"', "does not fit|is not of type")])
def test_a_payload_that_cannot_be_meant_is_refused(cli: Cli, filled: FilledStore, payload: str, says: str) -> None:
    ended = cli("signal", "signal-1", "go", payload, "--store", filled.url)
    assert ended.code == 2
    assert any(each in ended.err for each in says.split("|"))
    assert sent(filled) == []


def test_cancel_is_a_row_and_nothing_to_one_that_has_ended(cli: Cli, filled: FilledStore) -> None:
    assert cli("cancel", "waits-1", "--reason", "enough", "--by", "anna", "--store", filled.url).code == 0
    ended = cli("cancel", "done-1", "--store", filled.url)
    assert (ended.code, ended.out) == (0, "done-1 is completed already: nothing to cancel\n")
    assert sent(filled) == [("waits-1", "cancel", {"reason": "enough"}, "anna")]


@pytest.mark.parametrize("words", ["approve done-1", "reject done-1", "signal done-1 go"])
def test_what_has_ended_takes_nothing_more(cli: Cli, filled: FilledStore, words: str) -> None:
    ended = cli(*words.split(), "--store", filled.url)
    assert ended.code == 2
    assert "is completed" in ended.err


@pytest.mark.parametrize("words", ["approve x", "reject x", "cancel x", "signal x go"])
def test_an_unknown_id_is_not_found(cli: Cli, filled: FilledStore, words: str) -> None:
    ended = cli(*words.split(), "--store", filled.url)
    assert ended.code == 3
    assert ended.err.count("\n") == 1


def test_a_cancel_during_compensation_is_said_to_change_nothing(cli: Cli, filled: FilledStore) -> None:
    filled.add(flows.review, WAITS, id="undoing-1", status="compensating")
    ended = cli("cancel", "undoing-1", "--store", filled.url)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == (
        "undoing-1 is compensating: it is on its way to an end already, so a cancel changes nothing"
    )
    assert sent(filled) == []


def test_pause_and_resume_are_rows(cli: Cli, filled: FilledStore) -> None:
    assert cli("pause", "waits-1", "--reason", "look first", "--by", "anna", "--store", filled.url).code == 0
    assert cli("resume", "waits-1", "--by", "anna", "--store", filled.url).code == 0
    assert sent(filled) == [
        ("waits-1", "pause", {"reason": "look first"}, "anna"),
        ("waits-1", "resume", {}, "anna"),
    ]
    ended = cli("pause", "done-1", "--store", filled.url)
    assert (ended.code, "is completed: it takes no pause" in ended.err) == (2, True)


def test_a_doubt_is_resolved_by_name(cli: Cli, filled: FilledStore) -> None:
    filled.add(
        flows.payment, [ev.ExecutionStarted(b"{}"), ev.AttemptStarted("pay", 1), ev.AttemptLost("pay", 1)], id="pay-1"
    )
    shown = cli("show", "pay-1", "--store", filled.url)
    assert "raywf resolve pay-1 pay retry" in shown.out
    for words, said in (
        (("pay", "retyr"), "Did you mean 'retry'"),
        (("pya", "retry"), "in doubt are pay"),
        (("pay", "failed", "--value", "1"), "a value goes with outcome='completed'"),
    ):
        ended = cli("resolve", "pay-1", *words, "--store", filled.url)
        assert (ended.code, said in ended.err) == (2, True), ended.err
    assert (
        cli("resolve", "pay-1", "pay", "completed", "--value", '"paid"', "--by", "anna", "--store", filled.url).code
        == 0
    )
    body = {"task": "pay", "outcome": "completed", "value": '"paid"', "comment": ""}
    assert sent(filled) == [("pay-1", "resolve", body, "anna")]


def test_a_retry_is_a_row_named_after_the_end_it_is_for(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, FAILED, id="failed-1")
    for _ in range(2):
        ended = cli("retry", "failed-1", "--by", "anna", "--store", store.url)
        assert ended.code == 0
    assert "has been retried already" in ended.out
    assert [(row.kind, row.command_id, row.by) for row in store.inbox()] == [("retry", f"retry-{len(FAILED)}", "anna")]


def test_a_retry_of_what_is_completed_or_open_is_refused_with_what_to_do(cli: Cli, filled: FilledStore) -> None:
    done = cli("retry", "done-1", "--store", filled.url)
    assert done.code == 2 and "raywf fork done-1 --from TASK" in done.err
    waits = cli("retry", "waits-1", "--store", filled.url)
    assert waits.code == 2 and "only what has ended can be retried" in waits.err
    assert sent(filled) == []


def test_a_retry_amid_compensation_is_refused(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, WAITS, id="undoing", status="compensating")
    ended = cli("retry", "undoing", "--store", store.url)
    assert ended.code == 2 and "taking back what it did" in ended.err


def test_a_child_is_retried_with_its_parent(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, FAILED, id="p/review", parent="p")
    ended = cli("retry", "p/review", "--store", store.url)
    assert ended.code == 2 and "retry 'p'" in ended.err


def test_a_fork_prints_its_id_and_carries_its_input(cli: Cli, filled: FilledStore) -> None:
    ended = cli("fork", "done-1", "--from", "search", "--input", '"sea"', "--by", "anna", "--store", filled.url)
    assert ended.code == 0 and len(ended.out.split()) == 1
    row = filled.inbox()[0]
    body = json.loads(row.body)
    assert (row.execution, row.kind, row.by) == (ended.out.strip(), "fork", "anna")
    assert (body["source"], body["from_task"], body["input"]) == ("done-1", "search", '{"question":"sea"}')
    assert "no engine holds it now" in ended.err


def test_a_fork_from_no_task_is_refused_with_the_nearest(cli: Cli, filled: FilledStore) -> None:
    ended = cli("fork", "done-1", "--from", "serach", "--store", filled.url)
    assert ended.code == 2 and "Did you mean 'search'?" in ended.err
    ended = cli("fork", "done-1", "--from", "summarize[7]", "--store", filled.url)
    assert ended.code == 2 and "Fork from 'summarize'" in ended.err
    assert sent(filled) == []
