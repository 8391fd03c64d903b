"""`raywf schedule`: schedules made, looked at and changed with no engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.stores import FilledStore

Cli = Callable[..., Any]
PROGRAM = """
import raywf

@raywf.task
def hello(name: str) -> str:
    return name

@raywf.workflow(triggers=[raywf.on_cron("0 7 * * *", args="ann"), raywf.on_cron("@weekly", args="bob", id="weekly")])
def greet(name: str) -> str:
    return hello(name)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "greeting_program.py"
    path.write_text(PROGRAM)
    return f"{path}:greet"


def test_a_schedule_is_made_looked_at_paused_and_deleted(cli: Cli, store: FilledStore, program: str) -> None:
    at = ("--store", store.url)
    made = cli(
        "schedule", "add", program, "--cron", "0 7 * * *", "--timezone", "Europe/Berlin", "--input", '"ann"', *at
    )
    assert made.code == 0
    assert made.out.startswith("greet: greet, cron '0 7 * * *' in Europe/Berlin; next ")
    assert "No engine of this project runs now" in made.err
    (row,) = json.loads(cli("schedule", "ls", "--json", *at).out)
    assert (row["id"], row["input"], row["overlap"]) == ("greet", {"name": "ann"}, "skip")
    assert "nothing started yet" in cli("schedule", "show", "greet", *at).out
    assert cli("schedule", "pause", "greet", *at).out == "greet is paused\n"
    assert "; paused" in cli("schedule", "ls", *at).out
    assert "; next " in cli("schedule", "resume", "greet", *at).out
    days = ("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z")
    filled = cli("schedule", "backfill", "greet", *days, *at)
    assert filled.out == "3 instants: greet/2026-03-28T06:00:00Z to greet/2026-03-30T05:00:00Z\n"
    assert cli("schedule", "delete", "greet", *at).out == "greet is deleted\n"
    assert cli("schedule", "show", "greet", *at).code == 3
    assert cli("schedule", "ls", *at).out.startswith("No schedules")


def test_without_a_line_the_triggers_of_the_workflow_itself(cli: Cli, store: FilledStore, program: str) -> None:
    made = cli("schedule", "add", program, "--store", store.url)
    assert made.out == "greet: as greet declares it\nweekly: as greet declares it\n"
    rows = json.loads(cli("schedule", "ls", "--json", "--store", store.url).out)
    assert [(row["id"], row["cron"], row["by"]) for row in rows] == [
        ("greet", "0 7 * * *", "@workflow"),
        ("weekly", "@weekly", "@workflow"),
    ]


def test_the_next_instants_of_a_line(cli: Cli) -> None:
    found = cli("schedule", "next", "0 7 * * *", "--timezone", "Asia/Kathmandu", "-n", "3").out.splitlines()
    assert len(found) == 3
    assert all(" 07:00:00 +0545" in line for line in found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "0 7 * *"), "has 4 fields"),
        (("--cron", "0 7 * * *", "--timezone", "berlin"), "Did you mean 'Europe/Berlin'?"),
        (("--cron", "0 7 * * *", "--overlap", "skp"), "Did you mean 'skip'?"),
        (("--cron", "0 7 * * *", "--every", "5"), "both cron and every"),
        (("--cron", "0 7 * * *", "--input", "7"), "parameter 'name'"),
        (("--cron", "0 7 * * *"), "parameter 'name': is missing"),
        (("--every", "5", "--input", '"a"', "--id", "a/b"), "schedule id 'a/b' cannot be used"),
        (("--every", "5", "--input", '"a"', "--end", "2020-01-01T00:00:00Z"), "would never fire"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_stored(
    cli: Cli, store: FilledStore, program: str, words: tuple[str, ...], said: str
) -> None:
    ended = cli("schedule", "add", program, *words, "--store", store.url)
    assert ended.code == 2
    assert said in ended.err
    assert cli("schedule", "ls", "--store", store.url).out.startswith("No schedules")


def test_an_id_of_another_workflow_is_not_taken_over(
    cli: Cli, store: FilledStore, program: str, tmp_path: Path
) -> None:
    words = ("--every", "60", "--input", '"a"', "--id", "often", "--store", store.url)
    assert cli("schedule", "add", program, *words).code == 0
    other = tmp_path / "other_program.py"
    other.write_text(PROGRAM.replace("greet", "wave"))
    refused = cli("schedule", "add", f"{other}:wave", *words)
    assert refused.code == 2
    assert "belongs to workflow 'greet'" in refused.err


EVENTS = PROGRAM.replace(
    'raywf.on_cron("@weekly", args="bob", id="weekly")',
    'raywf.on_event("user.born", where=lambda event: event["age"] < 1, args=lambda event: event["name"])',
)


def test_an_event_is_emitted_once_and_says_what_it_starts(cli: Cli, store: FilledStore, tmp_path: Path) -> None:
    path, at = tmp_path / "event_program.py", ("--store", store.url)
    path.write_text(EVENTS)
    assert "greet@user.born: as greet declares it" in cli("schedule", "add", f"{path}:greet", *at).out
    assert cli("triggers", *at).out.startswith("greet@user.born: greet on user.born where {")
    words = ("emit", "user.born", '{"name": "eve", "age": 0}', "--id", "e1", *at)
    assert cli(*words).out == "greet@user.born: starts greet@user.born:e1\n"
    assert cli(*words).out.endswith("e1 (the same event had started it before)\n")
    old = cli("emit", "user.born", '{"name": "ann", "age": 30}', *at)
    assert old.out == "greet@user.born: no, its condition does not hold\n"
    assert "Did you mean 'user.born'?" in cli("emit", "user.bron", "{}", *at).out
    wrong = cli("emit", "user.born", '{"name": 7, "age": 0}', *at)
    assert (wrong.code, "does not fit trigger 'greet@user.born'" in wrong.err) == (2, True)
    assert cli("triggers", "--delete", "greet@user.born", *at).out == "greet@user.born is deleted\n"
    assert cli("triggers", *at).out.startswith("No triggers")
