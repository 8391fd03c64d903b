"""`raywf why`: what an execution waits for, who has to act and who holds it, from the store alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from raywf.core import events as ev
from raywf.core.failures import Failure
from tests.unit.cli import flows
from tests.unit.cli.stores import BEGAN, COMPLETED, STARTED, WAITS, FilledStore

Cli = Callable[..., Any]


def why(cli: Cli, store: FilledStore, id: str) -> list[str]:
    ended = cli("why", id, "--store", store.url)
    assert ended.code == 0, ended.err
    return str(ended.out).splitlines()


def kinds(cli: Cli, store: FilledStore, id: str) -> list[str]:
    found = json.loads(cli("why", id, "--store", store.url, "--json").out)
    return [reason["kind"] for reason in found["reasons"]]


def test_why_names_the_approval_the_person_and_the_time(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, WAITS, id="w", waiting_for="an approval (approval): Publish sky?")
    store.hold()
    head, reason, holder = why(cli, store, "w")
    assert head == "w is waiting and waits for:"
    assert reason.startswith("- an approval (approval): Publish sky? (then it fails), until 2023-11-14 23:13")
    assert holder.startswith("held by: the engine of process ")


def test_why_names_a_signal(cli: Cli, store: FilledStore) -> None:
    store.add(flows.signalled, [ev.ExecutionStarted(b"{}"), ev.SignalAwaited("wait_signal", "go")], id="s")
    store.hold()
    assert why(cli, store, "s")[1] == "- a signal 'go' (wait_signal)"


def test_why_says_that_no_engine_runs(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, WAITS, id="w")
    assert kinds(cli, store, "w") == ["engine", "approval"]
    assert why(cli, store, "w")[-1] == "held by: nobody"


def test_why_names_the_dead_owner_of_a_lease(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, WAITS, id="w")
    store.hold(expires_in_s=-5.0)
    lines = why(cli, store, "w")
    assert "is silent since its lease lapsed" in lines[1]
    assert lines[-1].startswith("held by: a dead owner: the engine of process ")


def test_why_says_when_a_retry_comes_and_after_what(cli: Cli, store: FilledStore) -> None:
    failure = Failure("ConnectionError", "no route\nto host", "", 1)
    answered = (*WAITS, ev.ApprovalDecided("approval", True, "", "c"))
    store.add(flows.review, [*answered, ev.AttemptFailed("publish", failure, 1, BEGAN + 60)], id="r")
    store.hold()
    (reason,) = why(cli, store, "r")[1:-1]
    assert reason.startswith(
        "- the next attempt of publish, after attempt 1 failed with ConnectionError: no route, until "
    )


def test_why_looks_into_a_child(cli: Cli, store: FilledStore) -> None:
    store.add(flows.parent, [STARTED, ev.ChildStarted("review", "p/review")], id="p")
    store.add(flows.review, WAITS, id="p/review", parent="p")
    store.hold()
    lines = why(cli, store, "p")
    assert lines[1] == "- the child execution p/review (review)"
    assert "an approval (approval): Publish sky?" in lines[2]
    found = json.loads(cli("why", "p", "--store", store.url, "--json").out)
    assert [each["execution"] for each in found["reasons"]] == ["p", "p/review"]


@pytest.mark.parametrize(
    ("noted", "kind", "shown"),
    [
        ("code: m:f is not here", "code", "code that no engine here has: m:f is not here"),
        ("resources: no node can take it", "resources", "no node can take it"),
        ("limit: openai is full", "limit", "openai is full"),
    ],
)
def test_why_says_what_its_owner_noted(cli: Cli, store: FilledStore, noted: str, kind: str, shown: str) -> None:
    store.add(flows.review, [STARTED], id="x", waiting_for=noted)
    store.hold()
    assert kinds(cli, store, "x") == [kind, "task"]
    assert why(cli, store, "x")[1] == f"- {shown}"


def test_why_of_a_paused_one_says_how_to_resume_it(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, [STARTED], id="x", status="paused")
    store.hold()
    assert why(cli, store, "x")[1].startswith("- `raywf resume x`")


def test_why_of_an_ended_one(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, COMPLETED, id="done")
    assert why(cli, store, "done") == ["done is completed", "held by: nobody: it has ended"]


def test_why_of_an_unknown_one(cli: Cli, store: FilledStore) -> None:
    assert cli("why", "nothing", "--store", store.url).code == 3
