"""Reading commands: what they print at 80 columns, as JSON, and which exit code they end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from raywf.cli import waiting
from raywf.core import events as ev
from tests.unit.cli import flows
from tests.unit.cli.stores import BROKE, CANCELLED, COMPLETED, FAILED, STARTED, WAITS, FilledStore

Cli = Callable[..., Any]
WHY = "an approval (approval): Publish sky?"


@pytest.fixture
def filled(store: FilledStore) -> FilledStore:
    store.add(flows.review, COMPLETED, id="done-1", tags={"team": "blue"})
    store.add(flows.review, FAILED, id="failed-1")
    store.add(flows.review, CANCELLED, id="cancelled-1")
    store.add(flows.review, WAITS, id="waits-1", waiting_for=WHY)
    return store


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_ls_is_a_table_of_80_columns(cli: Cli, filled: FilledStore) -> None:
    ended = cli("ls", "--store", filled.url)
    assert (ended.code, ended.err) == (0, "")
    assert lines(ended.out) == [
        "ID           STATUS       WORKFLOW  STARTED (UTC)     TOOK, OR WAITS FOR",
        "waits-1      ◐ waiting    review    2023-11-14 22:13  an approval (approval): P…",
        "cancelled-1  ⊘ cancelled  review    2023-11-14 22:13  7.0 s",
        "failed-1     ✖ failed     review    2023-11-14 22:13  8.0 s",
        "done-1       ✔ completed  review    2023-11-14 22:13  10.0 s",
    ]


def test_an_id_is_never_cut(cli: Cli, store: FilledStore) -> None:
    long = "a-very-long-name-of-an-execution-that-somebody-chose/child-7/grandchild-12"
    store.add(flows.review, WAITS, id=long, waiting_for=WHY)
    assert long in cli("ls", "--store", store.url).out
    assert f"  raywf approve {long} --store {store.url}" in cli("show", long, "--store", store.url).out.splitlines()


def test_ls_says_how_to_see_the_next_page(cli: Cli, filled: FilledStore) -> None:
    ended = cli("ls", "--store", filled.url, "--limit", "2")
    assert ended.err == f"More: raywf ls --limit 2 --after cancelled-1 --store {filled.url}\n"
    assert [line.split()[0] for line in lines(ended.out)] == ["ID", "waits-1", "cancelled-1"]
    after = cli("ls", "--store", filled.url, "--after", "cancelled-1", "--json")
    assert [row["id"] for row in json.loads(after.out)] == ["failed-1", "done-1"]


def test_ls_filters(cli: Cli, filled: FilledStore) -> None:
    def found(*words: str) -> list[str]:
        return [row["id"] for row in json.loads(cli("ls", "--store", filled.url, "--json", *words).out)]

    assert found("--status", "failed") == ["failed-1"]
    assert found("--tag", "team=blue") == ["done-1"]
    assert found("--workflow", "other") == []


def test_ls_of_nothing_says_so_on_stderr(cli: Cli, store: FilledStore) -> None:
    ended = cli("ls", "--store", store.url)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"No executions in namespace 'default' of {store.url}\n"
    assert cli("ls", "--store", store.url, "--json").out == "[]\n"


def test_instants_in_json_are_utc(cli: Cli, filled: FilledStore) -> None:
    (row,) = json.loads(cli("ls", "--store", filled.url, "--status", "completed", "--json").out)
    assert row["started_at"] == "2023-11-14T22:13:20Z"


def test_an_unknown_status_is_wrong_usage(cli: Cli, filled: FilledStore) -> None:
    ended = cli("ls", "--store", filled.url, "--status", "complete")
    assert ended.code == 2
    assert "Did you mean 'completed'?" in ended.err


def test_show_says_what_it_waits_for_and_what_to_type(cli: Cli, filled: FilledStore) -> None:
    filled.hold()
    ended = cli("show", "waits-1", "--store", filled.url)
    shown = [line for line in lines(ended.out) if not line.startswith(("started", "held by"))]
    assert shown == [
        "◐ waiting  review (version 2)  waits-1",
        'input      {"question":"sky"}',
        "waits for  an approval (approval): Publish sky?",
        "",
        "TASK       KIND      STATUS       ATTEMPT  NOTE",
        "search     call      ✔ completed        1",
        "summarize  call      ✔ completed           2/2 completed",
        "approval   approval  ◐ waiting             an approval: Publish sky?",
        "publish    call      ○ pending",
        "",
        "next:",
        f"  raywf approve waits-1 --store {filled.url}",
        f"  raywf reject waits-1 --store {filled.url}",
    ]


def test_show_of_a_completed_one_has_the_result(cli: Cli, filled: FilledStore) -> None:
    ended = cli("show", "done-1", "--store", filled.url)
    assert lines(ended.out) == [
        "✔ completed  review (version 2)  done-1",
        "started  2023-11-14 22:13 UTC, took 10.0 s",
        "tags     team=blue",
        'input    {"question":"sky"}',
        'result   "done"',
        "",
        "TASK       KIND      STATUS       ATTEMPT  NOTE",
        "search     call      ✔ completed        1",
        "summarize  call      ✔ completed           2/2 completed",
        "approval   approval  ✔ completed",
        "publish    call      ✔ completed        2",
        "",
        "next:",
        f"  raywf result done-1 --store {filled.url}",
    ]


def test_show_of_a_failed_one_has_message_and_traceback(cli: Cli, filled: FilledStore) -> None:
    out = cli("show", "failed-1", "--store", filled.url).out
    assert "publish    call      ✖ failed           1  ValueError: bad sky" in lines(out)
    assert "because  bad sky" in lines(out)
    assert 'publish, attempt 1:\n  Traceback (most recent call last):\n    File "a.py", line 7' in out


def test_show_without_an_engine_says_how_to_go_on(cli: Cli, filled: FilledStore) -> None:
    out = cli("show", "waits-1", "--store", filled.url).out
    assert "held by    no engine: it goes on when one connects" in lines(out)
    assert lines(out)[-1] == f"  raywf run TARGET --id waits-1 --store {filled.url}"


def test_show_as_json_is_the_description_and_the_next_commands(cli: Cli, filled: FilledStore) -> None:
    shown = json.loads(cli("show", "done-1", "--store", filled.url, "--json").out)
    assert shown["status"] == "completed"
    assert shown["result"] == "done"
    assert shown["tasks"]["publish"]["attempt"] == 2
    assert shown["results"]["summarize"] == ["A", "B"]
    assert shown["next"] == [f"raywf result done-1 --store {filled.url}"]


def test_the_store_of_the_environment_is_not_repeated(
    cli: Cli, filled: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYWF_STORE", filled.url)
    assert lines(cli("show", "done-1").out)[-1] == "  raywf result done-1"


def test_two_approvals_need_the_task(cli: Cli, store: FilledStore) -> None:
    asked = [ev.ApprovalRequested(name, "?", b"null") for name in ("approval", "approval-2")]
    store.add(flows.two_persons, [ev.ExecutionStarted(b"{}"), *asked], id="two")
    store.hold()
    commands = json.loads(cli("show", "two", "--store", store.url, "--json").out)["next"]
    assert [command.partition(" --store")[0] for command in commands] == [
        "raywf approve two --task approval",
        "raywf approve two --task approval-2",
        "raywf reject two --task approval",
    ]


def test_history_is_a_table(cli: Cli, filled: FilledStore) -> None:
    ended = cli("history", "done-1", "--store", filled.url, "--after", "6")
    assert lines(ended.out) == [
        " #  TIME (UTC)        EVENT                TASK      WHAT",
        " 7  2023-11-14 22:13  approval decided     approval  approved: fine (by anna)",
        " 8  2023-11-14 22:13  attempt failed       publish   attempt 1: ConnectionError:",
        "                                                     no route; again at",
        "                                                     2023-11-14 22:13 UTC",
        " 9  2023-11-14 22:13  timer fired          publish",
        '10  2023-11-14 22:13  task completed       publish   "done"',
        '11  2023-11-14 22:13  execution completed            "done"',
    ]


def test_history_as_json(cli: Cli, filled: FilledStore) -> None:
    events = json.loads(cli("history", "failed-1", "--store", filled.url, "--json").out)
    assert [event["seq"] for event in events] == list(range(1, 10))
    assert events[-1]["data"]["failure"]["message"] == BROKE.message
    assert events[0] == {
        "seq": 1,
        "at": "2023-11-14T22:13:20Z",
        "kind": "execution_started",
        "task": None,
        "attempt": None,
        "data": {"question": "sky"},
        "by": None,
    }


def test_watch_of_a_closed_one_prints_its_transitions(cli: Cli, filled: FilledStore) -> None:
    ended = cli("watch", "failed-1", "--store", filled.url)
    assert ended.code == 1
    assert lines(ended.out) == [
        "22:13:20  ● running     execution failed-1",
        "22:13:21  ✔ completed   search",
        "22:13:22  ◐ waiting     approval  for an approval: Publish sky?",
        "22:13:26  ✔ completed   approval  approved",
        "22:13:27  ✖ failed      publish  attempt 1: ValueError: bad sky",
        "22:13:28  ✔ completed   summarize",
        "22:13:28  ✖ failed      execution failed-1  task publish: ValueError: bad sky",
    ]


def test_watch_as_json_is_one_event_per_line(cli: Cli, filled: FilledStore) -> None:
    ended = cli("watch", "done-1", "--store", filled.url, "--json")
    assert ended.code == 0
    assert [json.loads(line)["seq"] for line in lines(ended.out)] == list(range(1, 12))


def test_watch_gives_up_when_told_to(cli: Cli, filled: FilledStore) -> None:
    ended = cli("watch", "waits-1", "--store", filled.url, "--timeout", "0")
    assert ended.code == 5
    assert "no engine holds this execution now" in ended.err
    assert f"raywf: execution waits-1 is waiting, and has not ended within 0 s; it waits for {WHY}" in ended.err


@pytest.mark.parametrize(("id", "code"), [("done-1", 0), ("failed-1", 1), ("cancelled-1", 1)])
def test_result_ends_as_the_execution_did(cli: Cli, filled: FilledStore, id: str, code: int) -> None:
    ended = cli("result", id, "--store", filled.url)
    assert ended.code == code
    assert ended.out == ('"done"\n' if code == 0 else "")


def test_a_failure_is_one_line_and_where_to_read_on(cli: Cli, filled: FilledStore) -> None:
    ended = cli("result", "failed-1", "--store", filled.url)
    assert lines(ended.err) == [
        "raywf: task 'publish' of execution 'failed-1' failed: ValueError: bad sky",
        f"next: raywf show failed-1 --store {filled.url}",
    ]


def test_a_string_may_be_printed_as_it_is(cli: Cli, filled: FilledStore) -> None:
    assert cli("result", "done-1", "--store", filled.url, "--raw").out == "done\n"


def test_result_leaves_where_only_a_person_can_go_on(
    cli: Cli, filled: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    filled.hold()
    ended = cli("result", "waits-1", "--store", filled.url)
    assert (ended.code, ended.out) == (5, "")
    assert lines(ended.err) == [
        f"raywf: execution waits-1 is waiting, and only a person can go on; it waits for {WHY}",
        "next:",
        f"  raywf approve waits-1 --store {filled.url}",
        f"  raywf reject waits-1 --store {filled.url}",
        f"  raywf result waits-1 --store {filled.url}",
    ]


def test_result_leaves_where_no_engine_is(cli: Cli, filled: FilledStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ABSENCE_S", 0.0)
    filled.add(flows.review, [STARTED], id="runs-1")
    ended = cli("result", "runs-1", "--store", filled.url)
    assert ended.code == 5
    assert lines(ended.err) == [
        "raywf: execution runs-1 is running, and no engine holds it",
        "next:",
        f"  raywf run TARGET --id runs-1 --store {filled.url}",
    ]


def test_result_waits_as_long_as_it_was_told_to(cli: Cli, filled: FilledStore) -> None:
    filled.hold()
    ended = cli("result", "waits-1", "--store", filled.url, "--timeout", "0")
    assert ended.code == 5
    assert "has not ended within 0 s" in ended.err


@pytest.mark.parametrize("command", ["show", "history", "watch", "result"])
def test_an_unknown_id_is_not_found(cli: Cli, filled: FilledStore, command: str) -> None:
    ended = cli(command, "nobody", "--store", filled.url)
    assert (ended.code, ended.out) == (3, "")
    assert len(lines(ended.err)) == 1
    assert "there is no execution 'nobody'" in ended.err


@pytest.mark.parametrize("command", ["ls", "show x", "history x", "watch x", "result x", "approve x", "cancel x"])
def test_a_store_that_is_not_there_is_out_of_reach(cli: Cli, command: str) -> None:
    ended = cli(*command.split(), "--store", "sqlite:///nowhere/raywf.db")
    assert ended.code == 4
    assert len(lines(ended.err)) == 1
    assert "there is no store at" in ended.err


def test_times_of_this_year_need_no_year() -> None:
    from raywf.cli.output import local_time

    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert local_time(at, datetime(2026, 12, 1, tzinfo=UTC)) == "03-04 05:06:07"
    assert local_time(at, datetime(2027, 1, 1, tzinfo=UTC)) == "2026-03-04 05:06"
