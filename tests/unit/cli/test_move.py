"""``raywf export``, ``import``, ``archive``, ``replay``: what they print and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raywf.core import events as ev
from tests.unit.cli.flows import review
from tests.unit.cli.stores import COMPLETED, WAITS, FilledStore

Cli = Callable[..., Any]

TODAY = """
import raywf
from raywf import task, workflow

@task
def search(question: str) -> list[str]:
    return [question]

@workflow(version="2")
def review(question: str):
    return search(question + "")
"""


@pytest.fixture
def filled(store: FilledStore) -> FilledStore:
    store.add(review, COMPLETED, id="done", tags={"team": "blue"})
    store.add(review, WAITS, id="open", waiting_for="an approval")
    return store


def test_an_execution_goes_by_a_file_into_another_store(cli: Cli, filled: FilledStore, tmp_path: Path) -> None:
    ended = cli("export", "done", "-o", "done.json", "--store", filled.url)
    assert (ended.code, ended.out) == (0, "")
    assert "exported to done.json: 1 execution" in ended.err
    other = f"sqlite:///{tmp_path}/other.db"
    ended = cli("import", "done.json", "--store", other)
    assert (ended.code, ended.out) == (0, "done\n"), ended.err
    assert "review, completed" in ended.err
    assert json.loads(cli("result", "done", "--store", other).out) == "done"
    before, after = (json.loads(cli("history", "done", "--json", "--store", url).out) for url in (filled.url, other))
    assert before == after
    again = cli("import", "done.json", "--store", other)
    assert again.code == 2 and "nothing was imported" in again.err
    assert cli("export", "nothing", "--store", filled.url).code == 3
    assert cli("import", "nothing.json", "--store", other).code == 3


def test_what_is_open_comes_paused_and_says_what_to_type(cli: Cli, filled: FilledStore, tmp_path: Path) -> None:
    exported = cli("export", "open", "--store", filled.url)
    Path("open.json").write_text(exported.out, encoding="utf-8")
    other = f"sqlite:///{tmp_path}/other.db"
    ended = cli("import", "open.json", "--store", other)
    assert ended.code == 0
    assert "review, paused" in ended.err and "resume open --store" in ended.err
    assert json.loads(cli("ls", "--json", "--store", other).out)[0]["status"] == "paused"
    ended = cli("import", "open.json", "--store", other, "--namespace", "elsewhere", "--go-on")
    assert ended.code == 0 and "review, waiting" in ended.err


def test_archive_moves_what_is_old_and_says_how_much(cli: Cli, filled: FilledStore) -> None:
    words = ("archive", "--older-than", "30d", "--to", "kept", "--store", filled.url)
    assert cli(*words, "--dry-run").out == "1 execution would be archived\n"
    ended = cli(*words)
    assert ended.code == 0, ended.err
    assert "1 execution with 11 events archived to kept, 1 removed from the store" in ended.out
    assert [each["id"] for each in json.loads(cli("ls", "--json", "--store", filled.url).out)] == ["open"]
    assert json.loads(cli(*words, "--json").out)["executions"] == 0
    assert cli("export", "done", "--archive", "kept", "-o", "done.json").code == 0
    assert cli("import", "done.json", "--store", filled.url).out == "done\n"
    assert cli("archive", "--older-than", "a month", "--to", "kept", "--store", filled.url).code == 2


def test_replay_says_what_would_be_kept_and_fails_where_the_history_does_not_fold(
    cli: Cli, filled: FilledStore
) -> None:
    cli("export", "done", "-o", "done.json", "--store", filled.url)
    ended = cli("replay", "done.json")
    assert ended.code == 0, ended.out
    assert "the history folds" in ended.out and "0 would run again" in ended.out
    Path("review_today.py").write_text(TODAY, encoding="utf-8")
    ended = cli("replay", "done.json", "review_today.py:review")
    assert ended.code == 2  # the body is no definition: it says where
    Path("review_now.py").write_text(TODAY.replace(' + ""', ""), encoding="utf-8")
    ended = cli("replay", "done.json", "review_now.py:review", "--json")
    found = json.loads(ended.out)
    assert ended.code == 1 and found["ok"] is False
    assert {task["task"]: task["verdict"] for task in found["tasks"]}["publish"] == "gone"
    assert cli("replay", "nothing.json").code == 3


def test_an_export_is_data_that_stays_readable(cli: Cli, filled: FilledStore) -> None:
    data = json.loads(cli("export", "done", "--store", filled.url).out)
    first = data["executions"][0]["events"][0]
    assert (data["raywf"], data["format"], first["kind"], first["seq"]) == ("execution", 1, "execution_started", 1)
    assert json.loads(first["data"]) == {"question": "sky"}
    assert isinstance(COMPLETED[-1], ev.ExecutionCompleted)
