"""``raywf.Workers`` in a definition: data that comes back as it was, and settings that cannot be are refused where they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import raywf
from raywf import DefinitionError, WorkflowDefinition
from raywf.definition.compile import compile_plan
from raywf.definition.workers import conflict, pool_use

HERE = "tests.unit.definition.test_workers"


class Model:
    def read(self, page: str) -> str:
        return page.upper()


def load() -> Model:
    return Model()


def close(model: Model) -> None: ...


def needs_something(path: str) -> Model:
    return Model()


ocr = raywf.Workers(
    "ocr", min=1, max=4, num_gpus=0.5, setup=load, teardown=close, idle_timeout=timedelta(minutes=5), max_tasks=100
)


@raywf.task(pool=ocr)
def read(page: str) -> str:
    return raywf.worker_state(load).read(page)


@raywf.task(pool=raywf.Workers("ocr", max=2, setup=load))
def other(page: str) -> str:
    return page


@raywf.workflow
def reading(page: str) -> str:
    return read(page)


def test_a_pool_is_part_of_the_definition_and_comes_back_from_yaml() -> None:
    task = reading.definition.tasks[0]
    assert task.options["pool"]["setup"]["function"] == f"{HERE}:load"
    again = WorkflowDefinition.from_yaml(reading.definition.to_yaml())
    assert again.content_hash == reading.definition.content_hash
    use = compile_plan(again).nodes[0].options.pool
    assert use is not None
    assert (use.name, use.rule.min, use.rule.max, use.rule.idle_timeout, use.rule.max_tasks) == (
        "ocr",
        1,
        4,
        300.0,
        100,
    )
    assert dict(use.demand) == {"CPU": 1.0, "GPU": 0.5}
    assert use.setup is not None
    assert use.teardown is not None
    assert use.setup.path == f"{HERE}:load"


def test_a_pool_can_be_written_by_hand() -> None:
    text = f"""
    id: by_hand
    parameters: {{page: {{type: string}}}}
    tasks:
      - {{id: read, function: "{HERE}:read", args: [{{$ref: input.page}}],
         options: {{pool: {{name: ocr, max: 4, setup: "{HERE}:load", resources: {{scanner: 1}}}}}}}}
    result: {{$ref: read}}
    """
    definition = WorkflowDefinition.from_yaml(text)
    use = compile_plan(definition).nodes[0].options.pool
    assert use is not None
    assert dict(use.demand) == {"CPU": 1.0, "scanner": 1.0}
    assert raywf.testing.run(definition, "page") == "PAGE"


def test_a_task_outside_of_an_engine_sets_up_once_and_runs() -> None:
    assert read("page") == "PAGE"
    assert raywf.worker_state(load) is raywf.worker_state(load)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a b"}, "a pool's name has 1 to 100 letters"),
        ({"min": 3, "max": 2}, "min=3 is more than max=2"),
        ({"max": 0}, "max is 0: it must be a whole number from 1"),
        ({"max": True}, "max is True"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"max_tasks": 0}, "max_tasks is 0: it counts tasks"),
        ({"idle_timeout": 0}, "idle_timeout (seconds) is 0: it must be a number above 0"),
        ({"num_gpus": -1}, "num_gpus is -1: it must be a number from 0"),
        ({"resources": ["gpu"]}, "it must be a dict from a resource's name"),
        ({"setup": 3}, "setup is 3: it must be a function, called as load()"),
        ({"setup": needs_something}, "it is called as load(), so"),
        ({"setup": load, "teardown": load}, "it is called as close(state), so"),
        ({"teardown": close}, "there is no setup"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        raywf.Workers(**{"name": "ocr", **given})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_gpus": 1}, "num_gpus is given, and so is pool='ocr'"),
        ({"runs_on": "actor"}, "runs_on='actor' is given, and so is pool='ocr'"),
        ({"pool": "ocr"}, "write pool=raywf.Workers('ocr', max=4, setup=load)"),
        ({"pool": {"name": "ocr", "mx": 3}}, "did you mean 'max'"),
    ],
)
def test_options_that_do_not_go_with_a_pool_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        read.with_options(**options)
    assert words.lower() in str(refused.value).lower()


def test_one_name_with_two_settings_is_refused_in_a_workflow_with_both_named() -> None:
    @raywf.workflow
    def both(page: str) -> str:
        return other(read(page))

    with pytest.raises(DefinitionError) as refused:
        _ = both.definition
    assert "tasks 'read' and 'other' name the pool 'ocr' with different settings" in str(refused.value)
    assert "max=4" in str(refused.value)
    assert "max=2" in str(refused.value)


def test_an_edited_function_is_no_other_setting() -> None:
    one, two = (
        pool_use({"name": "ocr", "setup": {"function": "a:load", "source_hash": source}}) for source in ("1", "2")
    )
    assert one is not None
    assert two is not None
    assert one != two
    assert conflict(one, two) is None
