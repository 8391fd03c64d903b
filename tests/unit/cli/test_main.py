"""The program as a whole: its commands, their options, and how quickly it says what it can do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from raywf.cli import main as program

Cli = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]
COMMANDS = (
    "retry fork "
    "run demo validate graph chaos replay export import archive "
    "ls show why history watch result approve reject signal resolve pause resume cancel limits up emit "
    "triggers workers "
    "down doctor version "
    "deploy versions"
).split()
RESULTS = [f"results {name}" for name in ("compare", "sources", "calibration", "when", "panel")]
READING = [*"ls show why history watch result workers validate doctor version".split(), *RESULTS]


def options_of(command: str) -> set[str]:
    found: Any = typer.main.get_command(program.app)
    for word in command.split():
        found = found.commands[word]
    return {name for parameter in found.params for name in parameter.opts}


def test_the_commands_are_these() -> None:
    group: Any = typer.main.get_command(program.app)
    assert sorted(group.commands) == sorted(
        [*COMMANDS, "query", "stream", "update", "results", "keys", "schedule", "cache", "nodes", "drain"]
    )
    assert [f"results {name}" for name in group.commands["results"].commands] == RESULTS


@pytest.mark.parametrize("command", [*COMMANDS, *RESULTS, "query", "stream", "update", "nodes", "drain"])
def test_every_command_takes_store_and_namespace(command: str) -> None:
    assert {"--store", "--namespace"} <= options_of(command)


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_takes_json(command: str) -> None:
    assert "--json" in options_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"raywf {command}" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_an_unknown_command_is_wrong_usage_and_says_what_was_meant(cli: Cli) -> None:
    ended = cli("shwo", "x")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "raywf: No such command 'shwo'. Did you mean 'show'? (see raywf --help)\n"


@pytest.mark.parametrize("command", ["dashboard", "simulate-provider"])
def test_commands_that_are_not_there_yet_are_wrong_usage(cli: Cli, command: str) -> None:
    assert cli(command, "x").code == 2


@pytest.mark.parametrize(
    "words", ["show", "ls --limit x", "ls --limit 0", "ls --nothing", "run", "signal x", "history x --after -1"]
)
def test_wrong_usage_is_one_line_that_names_the_command(cli: Cli, words: str) -> None:
    ended = cli(*words.split())
    assert (ended.code, ended.out) == (2, "")
    command = words.split()[0]
    assert ended.err.startswith(f"raywf {command}: ")
    assert ended.err.endswith(f"(see raywf {command} --help)\n")
    assert ended.err.count("\n") == 1


def test_no_command_shows_the_help(cli: Cli) -> None:
    ended = cli()
    assert ended.code == 2
    assert "Durable AI workflows" in ended.out + ended.err


def test_version(cli: Cli) -> None:
    import raywf

    assert cli("--version").out == f"raywf {raywf.__version__}\n"
    assert cli("version").out.startswith(f"raywf {raywf.__version__}\npython 3.")


QUIET = (
    "--help",
    "version",
    "ls",
    "show x",
    "history x",
    "result x",
    "watch x",
    "approve x",
    "signal x go",
    "cancel x",
    "graph x",
    "graph tests/unit/cli/flows.py:review --format svg",
    "validate tests/unit/cli/flows.py:review",
    "down",
    "doctor",
)


def test_reading_and_commanding_bring_in_no_ray(tmp_path: Path) -> None:
    lines = ["import sys", "from raywf.cli.main import main"]
    for words in QUIET:
        lines += [f"main({words.split()!r})", f"print('=', {words!r}, 'ray' in sys.modules, file=sys.stderr)"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "RAYWF_STORE": f"sqlite:///{tmp_path}/raywf.db"}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if line.startswith("=")]
    assert told == [f"= {words} False" for words in QUIET], done.stderr


def test_help_needs_nothing_of_what_the_commands_need(tmp_path: Path) -> None:
    """Neither the store nor the definitions: `raywf --help` should take no longer than Python and typer."""
    code = "import sys; from raywf.cli.main import main; print(*sys.modules)"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    heavy = {"ray", "apsw", "pyarrow", "numpy", "httpx", "asyncio", "raywf.definition", "raywf.journal", "raywf.client"}
    assert not heavy & set(done.stdout.split())
