"""``raywf chaos``: what it prints and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from raywf.journal import memory

PROGRAM = """
import raywf
from raywf import task, workflow

@task
def add(x):
    print("a task prints")
    return x + 1

@workflow
def order(x: int):
    return add(add(x))

@workflow
def asks(x: int):
    return raywf.wait_signal("go"), raywf.approval("ok?", data=add(x))
"""


@pytest.fixture
def program(tmp_path: Any) -> str:
    (tmp_path / "chaotic_shop.py").write_text(PROGRAM, encoding="utf-8")
    return "chaotic_shop.py"


def test_it_says_what_it_killed_and_what_that_proved(cli: Callable[..., Any], program: str) -> None:
    ended = cli("chaos", f"{program}:order", "--input", "1")
    assert ended.code == 0, ended.err
    assert "COMMIT  BEFORE  AFTER  UNANSWERED  WRITES" in ended.out
    assert "order was killed 9 times, at all 3 boundaries" in ended.out
    assert "2 calls under 2 idempotency keys" in ended.out


def test_as_json(cli: Callable[..., Any], program: str) -> None:
    ended = cli("chaos", f"{program}:order", "--input", "1", "--limit", "1", "--json")
    report = json.loads(ended.out)
    assert "a task prints" in ended.err
    assert (ended.code, report["ok"], report["tried"], len(report["kills"])) == (0, True, [1], 3)


def test_whoever_must_be_answered_is_named_with_the_option_that_answers(cli: Callable[..., Any], program: str) -> None:
    ended = cli("chaos", f"{program}:asks", "--input", "1")
    assert ended.code == 5
    assert "waits for" in ended.err and "--approve" in ended.err
    ended = cli("chaos", f"{program}:asks", "--input", "1", "--approve", "--signal", 'go={"a": 1}')
    assert ended.code == 0, ended.out
    assert cli("chaos", f"{program}:asks", "--signal", "go").code == 2


def test_what_goes_wrong_is_said_with_its_place_and_the_exit_code_is_1(
    cli: Callable[..., Any], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = memory._load

    def forgetful(store: Any, row: Any) -> Any:
        loaded = load(store, row)
        return loaded._replace(events=loaded.events[:1])

    monkeypatch.setattr(memory, "_load", forgetful)
    ended = cli("chaos", f"{program}:order", "--input", "1")
    assert ended.code == 1
    assert "went wrong:\n- killed" in ended.out
