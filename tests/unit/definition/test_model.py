"""WorkflowDefinition: the data form, JSON and YAML, and the hash."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from raywf import (
    DefinitionError,
    NotFound,
    Retry,
    WorkflowDefinition,
    approval,
    gather,
    sleep,
    task,
    wait_signal,
    when,
    workflow,
)
from raywf.definition.model import TaskDefinition
from raywf.definition.workflows import as_workflow
from tests.unit.definition.drive import drive


class Ticket(BaseModel):
    title: str
    priority: int = 3


@task(retry=Retry(max_attempts=2), timeout=30)
def search(question: str, limit: int = 5) -> list[str]:
    return [question] * limit


@task
def write(question: str, notes: Any = None) -> dict[str, Any]:
    return {"title": question, "score": 0.5, "a b": [1, 2]}


@task
def publish(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@workflow
def child(n: int) -> Any:
    return gather(publish(n), n)


@workflow(version="7", description="Answers.")
def answer(question: str, ticket: Ticket | None = None, n: int = 3) -> Any:
    hits = search(question, limit=n)
    drafts = write.map(hits, notes=("a", {1: "b"}))
    draft = write(question, [drafts, hits[0], Decimal("1.5"), {"$ref": 1}])
    check = when(
        (draft["score"] < 0.7) & ~(n == 5) | (draft["a b"][0] > 1),
        then=lambda: approval(f"Publish {draft['title']!r:>8}?", data=draft, timeout=60, on_reject=None),
        otherwise=lambda: {"kept": draft, 5: n},
    )
    late = sleep(5, check)
    paid = wait_signal(f"paid-{n}", timeout=9, default=None, schema=Ticket)
    inner = child(n).after(late)
    many = child.map([1, 2])
    return publish(late, paid, (inner, many), at=dt.date(2024, 5, 1), cond=draft["score"] > 0.1)


def test_the_data_is_that_of_the_api() -> None:
    data = json.loads(answer.definition.to_json())
    tasks = {each["id"]: each for each in data["tasks"]}
    assert data["id"] == "answer"
    assert data["version"] == "7"
    assert data["parameters"]["question"] == {"type": "string"}
    assert data["parameters"]["n"] == {"type": "integer", "default": 3}
    assert data["parameters"]["ticket"]["default"] is None
    assert data["result"] == {"$ref": "publish"}
    assert tasks["search"]["function"] == f"{__name__}:search"
    assert tasks["search"]["args"] == [{"$ref": "input.question"}]
    assert tasks["search"]["kwargs"] == {"limit": {"$ref": "input.n"}}
    assert tasks["search"]["options"]["timeout"] == 30
    assert tasks["write"]["map"] == [{"$ref": "search"}]
    assert tasks["write"]["kwargs"]["notes"] == {"$const": {"$t": "tuple", "v": ["a", {"$t": "dict", "v": [[1, "b"]]}]}}
    assert tasks["write-2"]["args"][1] == [
        {"$ref": "write"},
        {"$ref": "search", "path": [0]},
        {"$const": {"$t": "decimal", "v": "1.5"}},
        {"$const": {"$t": "dict", "v": [["$ref", 1]]}},
    ]
    assert tasks["when"]["when"] == {
        "or": [
            {
                "and": [
                    {"op": "<", "left": {"$ref": "write-2.score"}, "right": 0.7},
                    {"not": {"op": "==", "left": {"$ref": "input.n"}, "right": 5}},
                ]
            },
            {"op": ">", "left": {"$ref": "write-2", "path": ["a b", 0]}, "right": 1},
        ]
    }
    assert tasks["when"]["then"] == ["approval"]
    assert tasks["when"]["result"] == {
        "then": {"$ref": "approval"},
        "otherwise": {"$dict": [["kept", {"$ref": "write-2"}], [5, {"$ref": "input.n"}]]},
    }
    assert tasks["approval"]["approval"] == {
        "prompt": {
            "$template": ["Publish ", {"value": {"$ref": "write-2.title"}, "conversion": "r", "spec": ">8"}, "?"]
        },
        "data": {"$ref": "write-2"},
        "timeout": 60,
        "on_reject": None,
    }
    assert tasks["sleep"]["sleep"] == {"seconds": 5, "value": {"$ref": "when"}}
    assert tasks["wait_signal"]["signal"]["default"] is None
    assert tasks["wait_signal"]["signal"]["schema"]["required"] == ["title"]
    assert tasks["child"]["after"] == ["sleep"]
    assert tasks["child"]["workflow"]["id"] == "child"
    assert tasks["child-2"]["map"] == [[1, 2]]
    assert tasks["publish"]["kwargs"]["cond"] == {"$cond": {"op": ">", "left": {"$ref": "write-2.score"}, "right": 0.1}}
    assert "dependencies" not in data


def test_json_and_yaml_load_back_and_run() -> None:
    definition = answer.definition
    expected, _ = drive(answer, "sky", n=2)
    for again in (
        WorkflowDefinition.from_json(definition.to_json()),
        WorkflowDefinition.from_json(definition.to_json(indent=None)),
        WorkflowDefinition.from_json(definition.body),
        WorkflowDefinition.from_yaml(definition.to_yaml()),
        WorkflowDefinition.model_validate(definition.model_dump()),
        WorkflowDefinition.model_validate_json(definition.model_dump_json()),
        pickle.loads(pickle.dumps(definition)),
        copy.deepcopy(definition),
    ):
        assert again.content_hash == definition.content_hash
        assert again == definition
        assert again.body == definition.body
        assert drive(as_workflow(again), "sky", n=2)[0] == expected


def test_dependencies_are_derived() -> None:
    dependencies = answer.definition.dependencies
    assert dependencies["search"] == []
    assert dependencies["write"] == ["search"]
    assert dependencies["when"] == ["write-2", "approval"]
    assert dependencies["approval"] == ["write-2", "when"]
    assert dependencies["child"] == ["sleep"]
    assert answer.definition.model_dump()["dependencies"] == dependencies


def test_a_document_may_repeat_the_dependencies_but_not_change_them() -> None:
    data = json.loads(child.definition.to_json())
    assert WorkflowDefinition.model_validate({**data, "dependencies": {"publish": [], "gather": ["publish"]}}) == (
        child.definition
    )
    with pytest.raises(DefinitionError, match=r"dependencies.publish: dependencies are derived.*after:"):
        WorkflowDefinition.model_validate({**data, "dependencies": {"publish": ["gather"], "gather": ["publish"]}})


def test_defaults_of_the_model() -> None:
    definition = WorkflowDefinition(id="empty")
    assert (definition.name, definition.version, definition.triggers) == ("empty", "1", [{"type": "manual"}])
    assert (definition.tasks, definition.configuration, definition.result) == ([], {}, None)
    assert definition.to_data() == {"id": "empty", "version": "1"}


def test_the_hash_says_what_the_definition_says() -> None:
    definition = answer.definition
    assert definition.content_hash != child.definition.content_hash
    other = definition.model_copy(update={"description": "Other."})
    assert other.content_hash != definition.content_hash
    assert other != definition
    assert {definition, copy.copy(definition)} == {definition}
    assert len(definition.content_hash) == 64


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        answer.definition.version = "8"


def test_what_is_no_json_is_refused() -> None:
    for value in (dt.date(2024, 1, 1), (1, 2), float("nan"), {1: 2}, [b"x"]):
        with pytest.raises(DefinitionError, match=r"tasks\[0\].args\[0\].*(JSON|not text)"):
            WorkflowDefinition(id="a", tasks=[TaskDefinition(id="t", function="m:f", args=[value])])
    with pytest.raises(DefinitionError, match="not JSON"):
        WorkflowDefinition(id="a", configuration={"x": object()})


@pytest.mark.parametrize(
    "value",
    [{"$ref": "search"}, {"$t": "tuple", "v": [1]}, {"a": [{"$const": 1}]}, {"$": 0}, ({"$x": ()},), "$ref", ["$ref"]],
)
def test_constants_that_look_like_operators_stay_constants(value: Any) -> None:
    @workflow
    def body(n: Any) -> Any:
        return [value, publish(value, (n, value), {"k": value, "n": n})]

    again = as_workflow(WorkflowDefinition.from_yaml(body.definition.to_yaml()))
    for each in (body, again):
        assert drive(each, 5)[0] == [value, [(value, (5, value), {"k": value, "n": 5}), {}]]


def test_load_reads_files(tmp_path: Path) -> None:
    for name, text in (("a.json", answer.definition.to_json()), ("a.yaml", answer.definition.to_yaml())):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert WorkflowDefinition.load(path) == answer.definition
        assert WorkflowDefinition.load(str(path)) == answer.definition
    with pytest.raises(NotFound, match=r"no file .*b.yaml.*Did you mean 'a.yaml'"):
        WorkflowDefinition.load(tmp_path / "b.yaml")
    with pytest.raises(DefinitionError, match=r"a definition is a .json"):
        WorkflowDefinition.load(tmp_path / "a.txt")
    (tmp_path / "d.yaml").mkdir()
    with pytest.raises(NotFound, match="cannot be read"):
        WorkflowDefinition.load(tmp_path / "d.yaml")


def test_a_hundred_levels_load_back() -> None:
    kept: dict[int, Any] = {}

    def make(level: int) -> Any:
        def body(n: int) -> Any:
            return kept[level - 1](n) if level else publish(n)

        body.__name__ = f"level{level}"
        return workflow(body)

    kept |= {level: make(level) for level in range(101)}
    definition = kept[100].definition
    assert WorkflowDefinition.from_json(definition.body).content_hash == definition.content_hash
    assert len(definition.children()) == 100


def test_a_large_definition_is_quick_enough() -> None:
    """Two thousand tasks in a chain: no recursion, nothing quadratic."""

    @workflow
    def body(n: int) -> Any:
        value: Any = n
        for _ in range(2000):
            value = write(value)
        return value

    assert len(body.plan.nodes) == 2000
    assert WorkflowDefinition.from_json(body.definition.body).content_hash == body.definition.content_hash
