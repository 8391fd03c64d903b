"""Ray graphs become definitions, and what raywf cannot keep of them is refused. No Ray runs."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from raywf.compat import ray_workflow as workflow
from raywf.compat.ray_workflow.common import check_metadata, statuses
from raywf.compat.ray_workflow.graph import build
from raywf.compat.ray_workflow.options import attempts


@ray.remote
def add(a: Any, b: Any) -> Any:
    return a + b


@ray.remote
class Counter:
    def count(self) -> int:
        return 1


def test_a_node_that_is_used_twice_is_one_task() -> None:
    shared = add.bind(1, 2)
    built = build(add.bind(shared, [shared, {"deep": shared}]))
    assert [task.id for task in built.definition.tasks] == ["add", "add-2"]
    assert built.definition.dependencies["add-2"] == ["add"]


def test_equal_graphs_share_a_definition_whatever_their_arguments() -> None:
    assert build(add.bind(add.bind(1, 2), 3)).definition == build(add.bind(add.bind(10, 20), 30)).definition
    assert build(add.bind(1, 2)).definition != build(add.options(num_cpus=2).bind(1, 2)).definition


def test_a_chain_of_a_thousand_is_no_recursion() -> None:
    graph = add.bind(0, 1)
    for _ in range(999):
        graph = add.bind(graph, 1)
    assert len(build(graph).definition.tasks) == 1000


def test_ids_never_meet() -> None:
    named = [add.options(**workflow.options(task_id=name)).bind(1, 2) for name in ("add-2", "add", "add", "add 2", "1")]
    ids = [task.id for task in build(add.bind(named, 0)).definition.tasks]
    assert len(set(ids)) == len(ids) == 6


def test_options_of_decorator_and_call_are_laid_over_each_other() -> None:
    decorated = workflow.options(task_id="mine", checkpoint=False)(ray.remote(lambda: 1))
    about = build(decorated.options(num_cpus=0, **workflow.options(metadata={"a": 1})).bind()).input["about"]["tasks"][
        0
    ]
    assert (about["name"], about["metadata"], about["options"]["checkpoint"]) == ("mine", {"a": 1}, False)


@pytest.mark.parametrize(
    ("dag", "says"),
    [
        (add, "made with f.bind"),
        (Counter.bind(), "an actor's state is not kept"),
        (add.bind(Counter.bind(), 1), "an actor's state is not kept"),
        (ray.dag.MultiOutputNode([add.bind(1, 2)]), "MultiOutputNode"),
    ],
)
def test_what_is_no_graph_of_functions_is_refused(dag: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        build(dag)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_returns": 2}, "has one result"),
        ({"runtime_env": {"pip": ["x"]}}, "runtime_env"),
        ({"retry_exceptions": [ValueError]}, "True or False"),
    ],
)
def test_options_that_raywf_cannot_keep_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build(add.options(**options).bind(1, 2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task_idd": "x"}, "Did you mean 'task_id'"),
        ({"checkpoint": "no"}, "True, False or None"),
        ({"max_retries": -2}, "positive integer"),
        ({"metadata": {"a": object()}}, "JSON"),
        ({"task_id": "a", "name": "b"}, "give one of them"),
    ],
)
def test_wrong_workflow_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        workflow.options(**options)


def test_wrong_waits_are_refused() -> None:
    with pytest.raises(TypeError, match="not a subclass of"):
        workflow.wait_for_event(int)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds"):
        workflow.sleep(-1)
    with pytest.raises(TypeError, match="takes a graph"):
        workflow.continuation(3)
    with pytest.raises(ValueError, match="dict"):
        check_metadata([1])
    with pytest.raises(TypeError, match="give a status"):
        statuses(3)


def test_attempts_count_the_first() -> None:
    assert (attempts(0), attempts(3)) == (1, 4)
    assert attempts(-1) > 10**6
