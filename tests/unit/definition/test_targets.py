"""Targets of the command line: MODULE:NAME, path/to/file.py:NAME, or a data file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raywf import DefinitionError, NotFound
from raywf.definition.targets import load_target

PROGRAM = """\
from raywf import task, workflow

@task
def triage_one(n: int) -> int:
    return n

@workflow
def triage(n: int):
    return triage_one(n)

other = triage.with_options
data = triage.definition
number = 5
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets_program.py").write_text(PROGRAM, encoding="utf-8")
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("targets_", "_raywf_target", "json_of_mine")):
            del sys.modules[name]


def test_a_module_of_the_working_directory() -> None:
    found = load_target("targets_program:triage")
    assert found.id == "triage"
    assert found.definition.tasks[0].function == "targets_program:triage_one"
    assert not found.definition.tasks[0].by_value
    assert load_target("targets_program:data").definition == found.definition


def test_a_file_anywhere(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "targets_deep.py"
    file.write_text(PROGRAM, encoding="utf-8")
    for target in (f"{file}:triage", "deep/targets_deep.py:triage"):
        found = load_target(target)
        assert found.definition.tasks[0].function == "targets_deep:triage_one"
        assert not found.definition.tasks[0].by_value
    assert str(tmp_path / "deep") in sys.path


def test_a_file_whose_name_another_module_has_goes_by_value(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "two-words.py").write_text(PROGRAM, encoding="utf-8")
    for name in ("json.py", "two-words.py"):
        found = load_target(f"{name}:triage")
        assert found.definition.tasks[0].by_value
        assert load_target(f"{name}:triage") is found


def test_a_data_file(tmp_path: Path) -> None:
    definition = load_target("targets_program:triage").definition
    (tmp_path / "a.yaml").write_text(definition.to_yaml(), encoding="utf-8")
    (tmp_path / "a.json").write_text(definition.to_json(), encoding="utf-8")
    for name in ("a.yaml", "a.json", str(tmp_path / "a.json")):
        found = load_target(name)
        assert found.definition == definition
        found.check()


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("targets_program:triag", NotFound, "targets_program has no 'triag'. Did you mean 'triage'. Its workflows: triage"),
        ("targets_program:nothing", NotFound, "has no 'nothing'"),
        ("targets_program:triage_one", DefinitionError, "is a @task, not a workflow"),
        ("targets_program:number", DefinitionError, "is 5, not a workflow"),
        ("targets_progam:triage", NotFound, "no module 'targets_progam' in .*Did you mean 'targets_program'"),
        ("no.such:triage", NotFound, "no module 'no'"),
        ("targets_program.py", NotFound, "does not say which workflow: write targets_program.py:triage"),
        ("targets_progam.py:triage", NotFound, "there is no file 'targets_progam.py'. Did you mean 'targets_program.py'"),
        ("targets_program.py:triag", NotFound, "targets_program.py has no 'triag'. Did you mean 'triage'"),
        ("nowhere/x.py:a", NotFound, "there is no file 'nowhere/x.py'"),
        ("targets_program", NotFound, "does not name a workflow: a target is MODULE:NAME"),
        ("", NotFound, "a target is"),
        (":x", NotFound, "not the name of a module|a target is"),
        ("a b:c", NotFound, "'a b' is not the name of a module"),
        ("dir/sub:c", NotFound, "neither a module nor a .py file"),
        ("missing.yaml", NotFound, "there is no file 'missing.yaml'"),
        ("missing.json", NotFound, "there is no file 'missing.json'"),
        ("json:dumps", DefinitionError, "not a workflow"),
    ],
)  # fmt: skip
def test_one_line_says_which_and_where(target: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        load_target(target)
    assert "\n" not in str(caught.value)
    assert target in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_thing", "importing .* failed with ModuleNotFoundError: No module named 'no_such_thing' at targets_bad.py:1"),
        ("x = 1\nraise ValueError('no\\nkey')", "failed with ValueError: no key at targets_bad.py:2"),
        ("def f(:\n", "failed with SyntaxError: .* at targets_bad.py:1"),
        ("from raywf import task\n@task(timeout=-1)\ndef f(): ...", "timeout.*-1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["targets_bad:w", "targets_bad.py:w"])
def test_a_module_that_fails_is_named_with_its_line(text: str, said: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "targets_bad.py").write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError, match=said) as caught:
        load_target(form)
    assert "\n" not in str(caught.value)
