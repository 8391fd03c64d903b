"""Bundles: an edit makes another one of the same project, and two projects with a ``tasks.py`` never meet."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raywf.runtime import bundle as module
from raywf.runtime.bundle import Bundle, bundle_of, current_bundle, enter_bundle, import_roots

CLOCK = iter(range(1, 10_000))


@pytest.fixture(autouse=True)
def a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported and where from is put back; no byte code is written that an edit within a second could meet."""
    modules, path = dict(sys.modules), list(sys.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(module, "_entered", None)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    importlib.invalidate_caches()


def project(root: Path, **files: str) -> Bundle:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(next(CLOCK) * 10**9, next(CLOCK) * 10**9))
    return bundle_of([os.path.realpath(root)])


def say(name: str) -> Any:
    return importlib.import_module(name).WORD


def test_an_edit_changes_the_hash_and_not_the_project(tmp_path: Path) -> None:
    before = project(tmp_path, tasks="WORD = 1", deep__er="")
    assert project(tmp_path) == before
    edited = project(tmp_path, deep__er="WORD = 2")
    assert (edited.project, edited.roots) == (before.project, before.roots)
    assert edited.hash != before.hash
    (tmp_path / "new.py").write_text("")
    added = project(tmp_path)
    assert added.hash not in (before.hash, edited.hash)


def test_what_is_no_code_of_the_project_does_not_change_the_hash(tmp_path: Path) -> None:
    before = project(tmp_path, tasks="")
    for path in (".venv/x.py", "node_modules/x.py", "__pycache__/x.py", ".git/x.py", "data.csv", "notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("changed")
    assert project(tmp_path) == before


def test_roots_are_the_users_own_directories_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path / "a")
    stdlib, installed = os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(pytest.__file__))
    raywf_itself = str(Path(module.__file__).parents[1])
    path = [str(tmp_path / "a"), "", str(tmp_path / "link"), stdlib, installed, raywf_itself, str(tmp_path / "gone")]
    assert import_roots(path) == (os.path.realpath(tmp_path / "a"),)
    assert current_bundle(path).roots == import_roots(path)


def test_packages_of_another_environment_are_no_code_of_the_project(tmp_path: Path) -> None:
    """An environment laid over another one by a .pth file has that one's packages on its path."""
    for place in ("lib/site-packages", "lib/dist-packages/vendor", "project"):
        (tmp_path / place).mkdir(parents=True)
    path = [str(tmp_path / place) for place in ("lib/site-packages", "lib/dist-packages/vendor", "project")]
    assert import_roots(path) == (os.path.realpath(tmp_path / "project"),)


def test_the_files_of_a_job_are_one_project_wherever_ray_unpacks_them() -> None:
    one, other = (bundle_of([f"/tmp/ray/runtime_resources/working_dir_files/_ray_pkg_{name}"]) for name in "ab")
    assert one.project == other.project


def test_two_projects_with_a_module_of_one_name_never_meet(tmp_path: Path) -> None:
    one = project(tmp_path / "one", tasks="import helper; WORD = helper.WORD", helper="WORD = 'one'")
    other = project(tmp_path / "other", tasks="import helper; WORD = helper.WORD", helper="WORD = 'other'")
    for bundle, word in ((one, "one"), (other, "other"), (one, "one")):
        assert enter_bundle(bundle)
        assert not enter_bundle(bundle)
        assert (say("tasks"), say("helper")) == (word, word)
        assert [root for root in sys.path if root.startswith(str(tmp_path))] == list(bundle.roots)


@pytest.mark.parametrize("name", ["raywf_tasks", "raywfdemo"])
def test_a_module_of_the_user_may_be_named_like_us(tmp_path: Path, name: str) -> None:
    one = project(tmp_path / "one", **{name: "WORD = 'one'"})
    other = project(tmp_path / "other", **{name: "WORD = 'other'"})
    for bundle, word in ((one, "one"), (other, "other")):
        enter_bundle(bundle)
        assert say(name) == word


def test_packages_of_one_name_never_meet_whether_or_not_they_have_an_init(tmp_path: Path) -> None:
    plain = project(tmp_path / "plain", app__tasks="WORD = 'plain'")
    regular = project(tmp_path / "regular", app____init__="", app__tasks="WORD = 'regular'")
    (tmp_path / "regular" / "app" / "__init__.py").write_text("")
    for bundle, word in ((plain, "plain"), (regular, "regular"), (plain, "plain")):
        enter_bundle(bundle)
        assert say("app.tasks") == word


def test_an_edited_file_is_imported_anew(tmp_path: Path) -> None:
    enter_bundle(project(tmp_path, tasks="WORD = 1"))
    assert say("tasks") == 1
    assert enter_bundle(project(tmp_path, tasks="WORD = 2"))
    assert say("tasks") == 2


def test_entering_leaves_the_installation_alone(tmp_path: Path) -> None:
    before = {name: sys.modules[name] for name in ("os", "pytest", "raywf", "raywf.runtime.bundle")}
    enter_bundle(project(tmp_path / "one", tasks="WORD = 1"))
    enter_bundle(project(tmp_path / "other", tasks="WORD = 2"))
    assert {name: sys.modules[name] for name in before} == before
