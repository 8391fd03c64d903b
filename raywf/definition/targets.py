"""Workflows by name, as the command line gives them: ``module:NAME``, ``path/to/file.py:NAME``, or a data file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from raywf.definition.lines import did_you_mean, line_of
from raywf.definition.workflows import LoadedWorkflow, Workflow
from raywf.errors import DefinitionError, NotFound, RaywfError

_DATA = (".json", ".yaml", ".yml")


def load_target(target: str) -> Workflow[Any, Any]:
    """The workflow that a target names.

    The working directory (for a file: its directory) is put on ``sys.path``, as Python does for a script. Raises
    ``NotFound`` for what is not there and ``DefinitionError`` for what is no workflow, in one line.
    """
    if target.endswith(_DATA):
        from raywf.definition.loading import load_file

        return LoadedWorkflow(load_file(Path(target)))
    where, colon, name = target.rpartition(":")
    if not colon or not name or os.sep in name or name.endswith(".py"):
        raise _incomplete(target)
    if where.endswith(".py"):
        module = _from_file(target, Path(where))
    elif os.sep in where or "/" in where:
        raise NotFound(f"target {target!r}: {where!r} is neither a module nor a .py file")
    else:
        module = _from_module(target, where)
    return _workflow_in(module, target, where, name)


def _incomplete(target: str) -> NotFound:
    forms = "MODULE:NAME, path/to/file.py:NAME, or a .json or .yaml file"
    if target.endswith(".py") and Path(target).is_file():
        names = [name for name, found in vars(_from_file(target, Path(target))).items() if isinstance(found, Workflow)]
        if names:
            return NotFound(f"target {target!r} does not say which workflow: write {target}:{names[0]}"
                            + (f" (there are also {', '.join(names[1:])})" if names[1:] else ""))  # fmt: skip
    return NotFound(f"target {target!r} does not name a workflow: a target is {forms}")


def _on_path(directory: str) -> None:
    if directory not in (os.path.abspath(each or os.getcwd()) for each in sys.path):
        sys.path.insert(0, directory)


def _from_module(target: str, name: str) -> ModuleType:
    _on_path(os.getcwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise NotFound(f"target {target!r}: {name!r} is not the name of a module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise _broken(target, name, error) from error
        near = [path.stem for path in Path.cwd().glob("*.py")]
        raise NotFound(
            f"target {target!r}: there is no module {error.name!r} in {os.getcwd()} or on the path of this "
            f"Python.{did_you_mean(name, near)}"
        ) from None
    except Exception as error:
        raise _broken(target, name, error) from error


def _from_file(target: str, path: Path) -> ModuleType:
    if not path.is_file():
        near = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise NotFound(f"target {target!r}: there is no file {str(path)!r}.{did_you_mean(path.name, near)}")
    path = path.resolve()
    _on_path(str(path.parent))
    try:
        if path.stem.isidentifier():
            known = sys.modules.get(path.stem)
            if known is None:
                importlib.invalidate_caches()
                known = importlib.import_module(path.stem)
            if os.path.realpath(getattr(known, "__file__", None) or "") == str(path):
                return known
        return _import_aside(path)
    except Exception as error:
        raise _broken(target, str(path), error) from error


def _import_aside(path: Path) -> ModuleType:
    """A file whose name another module has, or that is no module's name: known here only, so sent by value."""
    name = f"_raywf_target_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _broken(target: str, name: str, error: Exception) -> RaywfError:
    """What went wrong while a user's module was imported, in one line."""
    if isinstance(error, RaywfError):
        return DefinitionError(f"target {target!r}: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {line_of(frames[-1].filename, frames[-1].lineno or 0)}" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" at {line_of(error.filename, error.lineno or 0)}"
    said = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    return DefinitionError(f"target {target!r}: importing {name} failed with {type(error).__name__}: {said}{where}")


def _workflow_in(module: ModuleType, target: str, where: str, name: str) -> Workflow[Any, Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [each for each, value in vars(module).items() if isinstance(value, Workflow)]
            there = f" Its workflows: {', '.join(names)}" if names else " It has no workflows"
            raise NotFound(f"target {target!r}: {where} has no {name!r}.{did_you_mean(name, names)}{there}")
        found = getattr(found, part)
    if isinstance(found, Workflow):
        return found
    if type(found).__name__ == "WorkflowDefinition":
        return LoadedWorkflow(found)
    what = "a @task" if getattr(type(found), "_raywf_is_task", False) else f"{found!r:.60}"
    raise DefinitionError(f"target {target!r} is {what}, not a workflow: mark the function @workflow")
