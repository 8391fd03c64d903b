"""`import raywf` opens the window and starts nothing."""

from __future__ import annotations

import subprocess
import sys
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf.definition.context import TaskContext, entered

NAMES = (
    "task workflow Retry when aggregate gather sleep wait_signal approval current connect connect_async WorkflowEngine Candidate "
    "ResultAggregator AggregateResult WorkflowDefinition RaywfError DefinitionError WorkflowFailed WorkflowCancelled "
    "NotFound AlreadyExists ExecutionClosed InvalidInput NotConnected StoreUnavailable CodeMissing InDoubt WorkerLost LoopLimit "
    "ResultTimeout BudgetExceeded RateLimited ProviderError ValidationFailed PermissionDenied __version__"
).split()


def test_the_names_are_there() -> None:
    for name in NAMES:
        assert getattr(raywf, name) is not None
        assert name in raywf.__all__
        assert name in dir(raywf)
    assert set(raywf.__all__) <= set(dir(raywf))
    assert list(raywf.__all__) == sorted(raywf.__all__)


def test_star_import_gives_what_all_says() -> None:
    namespace: dict[str, Any] = {}
    exec("from raywf import *", namespace)
    assert set(raywf.__all__) <= set(namespace)


@pytest.mark.parametrize("name", ["ask", "TaskPipeline", "no_such_name"])
def test_names_that_are_not_there_yet_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'raywf' has no attribute '{name}'"):
        getattr(raywf, name)


def in_a_fresh_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_brings_in_neither_ray_nor_pydantic() -> None:
    heavy = "('ray', 'pydantic', 'yaml', 'jsonschema', 'asyncio', 'numpy', 'pyarrow')"
    program = (
        f"import sys, raywf; from raywf import task, workflow, when; print([m for m in {heavy} if m in sys.modules])"
    )
    assert in_a_fresh_python(program).strip() == "[]"
    program = "import sys, raywf.definition.loading, raywf.definition.targets; print('ray' in sys.modules)"
    assert in_a_fresh_python(program).strip() == "False"


def test_a_checkout_without_links_finds_the_actors(tmp_path: Path) -> None:
    """Where `raywf/actors` is no directory, the folder beside the package is found."""
    package = Path(raywf.__file__).parent
    (tmp_path / "raywf").mkdir()
    (tmp_path / "raywf" / "__init__.py").write_text(
        (package / "__init__.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "raywf" / "actors").write_text("../actors", encoding="utf-8")
    (tmp_path / "actors").mkdir()
    (tmp_path / "actors" / "__init__.py").write_text("here = __name__", encoding="utf-8")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import raywf.actors; print(raywf.actors.here)"
    assert in_a_fresh_python(program).strip() == "raywf.actors"


def test_current_outside_of_a_task_says_what_to_do() -> None:
    with pytest.raises(raywf.RaywfError, match=r"outside of a task.*raywf.testing.run"):
        raywf.current()


def test_current_inside_of_a_task() -> None:
    seen: list[Any] = []
    context = TaskContext("e1", "write[3]", 2, "e1/write[3]", datetime(2024, 1, 1, tzinfo=UTC), seen.append)
    with entered(context):
        now = raywf.current()
        now.heartbeat({"done": 5})
        now.heartbeat()
    assert (now.execution_id, now.task_id, now.attempt, now.idempotency_key) == ("e1", "write[3]", 2, "e1/write[3]")
    assert now.deadline == datetime(2024, 1, 1, tzinfo=UTC)
    assert seen == [{"done": 5}, None]
    with pytest.raises(raywf.RaywfError):
        raywf.current()


def test_the_window_is_a_module() -> None:
    assert isinstance(raywf, types.ModuleType)
    assert raywf.__version__.count(".") == 2
