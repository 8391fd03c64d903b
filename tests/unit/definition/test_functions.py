"""Functions by name: found again, told apart, and checked before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from raywf import CodeMissing, DefinitionError, WorkflowDefinition, task, workflow
from raywf.core.plan import FunctionRef
from raywf.definition.functions import function_ref, resolve_function, source_hash
from raywf.definition.workflows import as_workflow, check_functions, function_refs


@task
def here(n: int, m: int = 0) -> int:
    return n


@task
def shadowed() -> int:  # the next definition takes the name
    return 1


first = shadowed


@task  # type: ignore[no-redef]
def shadowed() -> int:
    return 2


class Group:
    @staticmethod
    @task
    def inside(n: int) -> int:
        return n


def test_module_functions_are_resolved_to_the_plain_function() -> None:
    assert resolve_function(here.ref) is here.function
    assert resolve_function(FunctionRef(f"{__name__}:Group.inside")) is Group.inside.function
    assert resolve_function(FunctionRef("json:dumps")).__name__ == "dumps"
    assert not here.ref.by_value
    assert not Group.inside.ref.by_value


def test_what_another_process_would_not_find_goes_by_value() -> None:
    def nested() -> None: ...

    assert function_ref(nested).by_value
    assert first.ref.by_value
    assert not shadowed.ref.by_value
    assert function_ref(_of_main()).by_value


def _of_main() -> Any:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(n):\n    return n", namespace)
    return namespace["f"]


def test_a_module_without_a_file_goes_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_at_run_time")
    monkeypatch.setitem(sys.modules, "made_at_run_time", module)
    exec("def f(n):\n    return n", module.__dict__)
    assert function_ref(module.f).by_value


def test_the_source_hash_follows_the_text() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(n):\n    return n", namespace)
    one = source_hash(namespace["f"], "m:f")
    exec("def f(n):\n    return n", namespace)
    assert source_hash(namespace["f"], "m:f") == one
    exec("def f(n):\n    return n + 1", namespace)
    assert source_hash(namespace["f"], "m:f") != one
    assert here.ref.source_hash == function_ref(here.function).source_hash
    assert here.ref.source_hash != shadowed.ref.source_hash
    assert len(source_hash(len, "builtins:len")) == 64


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:f", r"'no_such_module:f': the module 'no_such_module' cannot be imported.*Looked in: .*Install it"),
        ("json:dump_s", r"'json:dump_s': .*json.* has no 'dump_s'. Did you mean 'dumps'.*Correct the name"),
        ("json:decoder.Nothing", "has no 'Nothing'"),
        ("json:__all__", "is not a function but"),
    ],
)  # fmt: skip
def test_missing_code_says_what_where_and_what_to_do(path: str, said: str) -> None:
    with pytest.raises(CodeMissing, match=said):
        resolve_function(FunctionRef(path))


def test_a_by_value_function_is_found_only_where_it_was_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodeMissing, match="cannot be imported: it was defined in __main__"):
        resolve_function(FunctionRef("__main__:f", by_value=True))
    module = ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", module)
    exec("def f(n):\n    return n", module.__dict__)
    made = task(module.f)
    module.f = made  # type: ignore[attr-defined]

    @workflow
    def body(n: int) -> Any:
        return made(n)

    again = as_workflow(WorkflowDefinition.from_yaml(body.definition.to_yaml()))
    assert list(again.functions.values()) == [made.function]
    again.check()
    with pytest.raises(CodeMissing, match="'a_notebook:f' has changed since the definition was written"):
        resolve_function(FunctionRef("a_notebook:f", "other", by_value=True))
    del module.f
    assert as_workflow(WorkflowDefinition.from_yaml(body.definition.to_yaml())).functions == {}


def test_a_module_that_fails_while_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_on_import.py").write_text("import no_such_thing\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CodeMissing, match="No module named 'no_such_thing'"):
        resolve_function(FunctionRef("fails_on_import:f"))
    (tmp_path / "raises_on_import.py").write_text("raise RuntimeError('no key')\n", encoding="utf-8")
    with pytest.raises(CodeMissing, match=r"RuntimeError.*no key"):
        resolve_function(FunctionRef("raises_on_import:f"))


def loaded(task_: str) -> WorkflowDefinition:
    return WorkflowDefinition.from_yaml(f"id: w\ntasks:\n- {{id: one, {task_}}}\n")


def test_a_loaded_definition_is_checked_before_it_runs() -> None:
    path = f"function: '{__name__}:here'"
    as_workflow(loaded(f"{path}, args: [1]")).check()
    as_workflow(loaded(f"{path}, map: [[1]], kwargs: {{m: 2}}")).check()
    with pytest.raises(DefinitionError, match="workflow 'w': task 'one': missing a required argument: 'n'"):
        as_workflow(loaded(path)).check()
    with pytest.raises(DefinitionError, match="too many positional"):
        check_functions(loaded(f"{path}, args: [1, 2, 3]"))
    with pytest.raises(CodeMissing, match="'json:dump_s'"):
        as_workflow(loaded("function: 'json:dump_s'")).check()
    child = "workflow: {id: c, parameters: {n: {}, m: {default: 1}}}"
    as_workflow(loaded(f"{child}, args: [1]")).check()
    with pytest.raises(DefinitionError, match="missing a required argument: 'n'"):
        as_workflow(loaded(child)).check()


def test_the_functions_of_a_loaded_definition() -> None:
    definition = loaded(f"function: '{__name__}:here', args: [1]")
    assert as_workflow(definition).functions == {f"{__name__}:here": here.function}
    assert as_workflow(definition) is as_workflow(definition)
    assert function_refs(definition) == [FunctionRef(f"{__name__}:here")]
