"""Define: what a body may say, which graph it builds, and what is refused when it is built."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

import raywf
import raywf.testing
from raywf import task, workflow


@task
def search(question: str) -> list[str]:
    return [f"{question} {n}" for n in range(3)]


@task
async def summarize(hit: str) -> str:
    return hit.upper()


@task
def write(question: str, notes: list[str]) -> dict[str, Any]:
    return {"title": question, "score": len(notes) / 10, "notes": notes}


@task
def publish(draft: Any) -> Any:
    return draft


@task
def one() -> int:
    return 1


def plain(value: int) -> int:
    return value


def refusal(body: Callable[..., Any]) -> str:
    with pytest.raises(raywf.DefinitionError) as caught:
        workflow(body).definition  # noqa: B018
    return str(caught.value)


def line_of(body: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(body)
    return next(first + n for n, line in enumerate(lines) if text in line and "def " not in line)


def ids(flow: Any) -> list[str]:
    return [each.id for each in flow.definition.tasks]


# -- the body --------------------------------------------------------------------------------------------------------


def test_a_task_called_outside_a_workflow_is_the_plain_function() -> None:
    assert search("why") == ["why 0", "why 1", "why 2"]
    assert asyncio.run(summarize("a")) == "A"


def test_the_body_runs_at_the_first_use_of_the_definition_and_never_at_import() -> None:
    calls = []

    @workflow
    def flow() -> Any:
        calls.append(1)
        return one()

    assert calls == []
    _ = flow.definition
    assert len(calls) == 2, "it is run twice"


def test_the_definition_is_pydantic_data_with_the_promised_fields() -> None:
    @workflow(version="7")
    def flow(question: str) -> Any:
        """Answers a question."""
        return write(question, summarize.map(search(question)))

    definition = flow.definition
    assert isinstance(definition, raywf.WorkflowDefinition) and isinstance(definition, pydantic.BaseModel)
    for field in "id name description version parameters tasks dependencies configuration triggers result".split():
        assert hasattr(definition, field), field
    assert (definition.id, definition.version) == ("flow", "7")
    assert "question" in definition.parameters
    assert set(definition.dependencies["write"]) == {"summarize"}
    assert set(definition.dependencies["summarize"]) == {"search"}


def test_ids_are_the_functions_name_then_numbered_and_with_options_sets_one() -> None:
    @workflow
    def flow() -> Any:
        return [one(), one(), one(), one.with_options(id="last")()]

    assert ids(flow) == ["one", "one-2", "one-3", "last"]


def test_references_are_found_at_any_depth_of_lists_tuples_and_dicts() -> None:
    @workflow
    def flow() -> Any:
        return publish({"a": [1, (one(), {"b": one()})]})

    assert set(flow.definition.dependencies["publish"]) == {"one", "one-2"}


def test_plain_functions_may_compose_tasks() -> None:
    def research(question: Any) -> Any:
        return summarize.map(search(question))

    @workflow
    def flow(question: str) -> Any:
        return [research(question), research("two")]

    assert ids(flow) == ["search", "summarize", "search-2", "summarize-2"]


def test_a_definition_draws_itself() -> None:
    @workflow
    def flow(question: str) -> Any:
        return write(question, summarize.map(search(question)))

    drawing = flow.definition.to_mermaid()
    assert drawing.startswith(("graph", "flowchart"))
    for name in ("search", "summarize", "write"):
        assert name in drawing
    assert "-->" in drawing


def test_options_and_branches_survive_json_and_yaml_exactly() -> None:
    @workflow(version="2")
    def flow(question: str) -> Any:
        draft = write.with_options(timeout=5, retry=raywf.Retry(max_attempts=2))(question, search(question))
        checked = raywf.when(
            draft["score"] < 0.7,
            then=lambda: raywf.approval(f"Publish {draft['title']}?", data=draft, timeout=3600),
            otherwise=lambda: draft,
        )
        return publish(checked)

    definition = flow.definition
    assert raywf.WorkflowDefinition.model_validate_json(definition.model_dump_json()) == definition
    assert raywf.WorkflowDefinition.from_json(definition.to_json()) == definition
    assert raywf.WorkflowDefinition.from_yaml(definition.to_yaml()) == definition


# -- what a reference allows, and what not ---------------------------------------------------------------------------


def test_on_a_reference_items_names_comparisons_conditions_and_texts_are_allowed() -> None:
    @workflow
    def flow(question: str) -> Any:
        draft = write(question, search(question))
        good = (draft["score"] > 0.5) & (draft.title == question) | ~(draft["score"] <= 0.1) & (draft["score"] != 3)
        return raywf.when(
            good, then=lambda: publish(f"{question}: {draft.title}"), otherwise=lambda: publish(str(draft))
        )

    assert ids(flow)[:2] == ["search", "write"]


def _if(hits: Any) -> Any:
    if hits:
        return 1
    return 2


def _not(hits: Any) -> Any:
    return not hits


def _in(hits: Any) -> Any:
    return "a" in hits


def _and(hits: Any) -> Any:
    return hits and 1


def _for(hits: Any) -> Any:
    return [hit for hit in hits]  # noqa: C416


def _unpack(hits: Any) -> Any:
    first, second = hits
    return first, second


def _star(hits: Any) -> Any:
    return [*hits]


def _len(hits: Any) -> Any:
    return len(hits)


def _plus(hits: Any) -> Any:
    return hits + [1]  # noqa: RUF005


def _radd(hits: Any) -> Any:
    return 1 + hits


def _minus(hits: Any) -> Any:
    return -hits


def _times(hits: Any) -> Any:
    return hits * 2


def _call(hits: Any) -> Any:
    return hits()


def _method(hits: Any) -> Any:
    return hits.upper()


def _int(hits: Any) -> Any:
    return int(hits)


def _float(hits: Any) -> Any:
    return float(hits)


def _round(hits: Any) -> Any:
    return round(hits)


def _range(hits: Any) -> Any:
    return list(range(hits))


def _assign(hits: Any) -> Any:
    hits["a"] = 1
    return hits


def _delete(hits: Any) -> Any:
    del hits["a"]
    return hits


def _with(hits: Any) -> Any:
    with hits:
        return 1


def _attribute(hits: Any) -> Any:
    hits.a = 1
    return hits


def _chain(hits: Any) -> Any:
    return 1 < hits < 3


def _among(hits: Any) -> Any:
    return hits in ["a", "b"]


def _largest(hits: Any) -> Any:
    return max(hits, 3)


def _key(hits: Any) -> Any:
    return {hits: 1}


@pytest.mark.parametrize(
    "misuse",
    [
        _if, _not, _in, _and, _for, _unpack, _star, _len, _plus, _radd, _minus, _times, _call, _method, _int, _float,
        _round, _range, _assign, _delete, _with, _attribute, _chain, _among, _largest, _key,
    ],
    ids=lambda misuse: misuse.__name__[1:],
)  # fmt: skip
def test_everything_else_on_a_reference_is_refused_naming_task_and_line(misuse: Callable[[Any], Any]) -> None:
    def flow(question: str) -> Any:
        return misuse(search(question))

    message = refusal(flow)
    assert "search" in message
    _, first = inspect.getsourcelines(misuse)
    assert f"line {first + 1}" in message or f":{first + 1}" in message, message


def test_a_reference_inside_a_set_is_refused_or_found() -> None:
    def flow(question: str) -> Any:
        return publish({search(question)[0]})

    try:
        definition = workflow(flow).definition
    except raywf.DefinitionError as refused:
        assert "search" in str(refused) or "publish" in str(refused)
    else:
        assert definition.dependencies["publish"] == ["search"]


def test_a_format_in_a_template_is_kept_or_refused_but_never_lost() -> None:
    def flow() -> Any:
        return publish(f"{one():05.1f}")

    try:
        result = raywf.testing.run(workflow(flow))
    except raywf.DefinitionError as refused:
        assert "one" in str(refused)
    else:
        assert result == "001.0"


def test_await_on_a_reference_is_refused() -> None:
    def flow(question: str) -> Any:
        async def helper(ref: Any) -> Any:
            return await ref

        return asyncio.run(helper(search(question)))

    assert "search" in refusal(flow)


def test_an_async_body_is_refused() -> None:
    async def flow(question: str) -> Any:
        return search(question)

    assert "flow" in refusal(flow)


def test_a_parameter_is_a_reference_too() -> None:
    def flow(question: str) -> Any:
        if question:
            return search(question)
        return None

    message = refusal(flow)
    assert "question" in message
    assert str(line_of(flow, "if question")) in message


# -- refused when it is built ----------------------------------------------------------------------------------------


def test_a_cycle_is_refused_with_its_whole_path() -> None:
    def flow() -> Any:
        first = one.with_options(id="first")()
        second = publish.with_options(id="second")(first)
        third = publish.with_options(id="third")(second)
        first.after(third)
        return third

    message = refusal(flow)
    names = [message.index(name) for name in ("first", "second", "third")]
    assert len(set(names)) == 3
    assert message.count("first") >= 2, "the path comes back to where it began"


def test_a_cycle_in_a_file_is_refused_with_its_whole_path() -> None:
    text = """
id: ring
tasks:
  - {id: a, function: "tests.contract.tasks:double", args: [{$ref: c}]}
  - {id: b, function: "tests.contract.tasks:double", args: [{$ref: a}]}
  - {id: c, function: "tests.contract.tasks:double", args: [{$ref: b}]}
result: {$ref: c}
"""
    with pytest.raises(raywf.DefinitionError) as caught:
        raywf.WorkflowDefinition.from_yaml(text)
    found = str(caught.value)
    assert any(
        f"{x} → {y} → {z} → {x}" in found.replace("->", "→") for x, y, z in ("abc", "bca", "cab", "acb", "cba", "bac")
    )


def test_an_unknown_dependency_is_refused_naming_both() -> None:
    text = """
id: loose
tasks:
  - {id: a, function: "tests.contract.tasks:double", args: [{$ref: nowhere}]}
result: {$ref: a}
"""
    with pytest.raises(raywf.DefinitionError, match=r"(?s)(a.*nowhere|nowhere.*a)"):
        raywf.WorkflowDefinition.from_yaml(text)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    text = """
id: loose
parameters: {x: {type: integer}}
tasks:
  - {id: a, function: "tests.contract.tasks:double", args: [{$ref: input.y}]}
result: {$ref: a}
"""
    with pytest.raises(raywf.DefinitionError, match="y"):
        raywf.WorkflowDefinition.from_yaml(text)


def test_a_result_that_names_no_task_is_refused() -> None:
    text = """
id: loose
tasks:
  - {id: a, function: "tests.contract.tasks:double", args: [1]}
result: {$ref: nowhere}
"""
    with pytest.raises(raywf.DefinitionError, match="nowhere"):
        raywf.WorkflowDefinition.from_yaml(text)


def test_a_duplicate_id_is_refused_in_a_body_and_in_a_file() -> None:
    def flow() -> Any:
        return [one.with_options(id="same")(), publish.with_options(id="same")(1)]

    assert "same" in refusal(flow)

    text = """
id: twins
tasks:
  - {id: same, function: "tests.contract.tasks:double", args: [1]}
  - {id: same, function: "tests.contract.tasks:double", args: [2]}
result: {$ref: same}
"""
    with pytest.raises(raywf.DefinitionError, match="same"):
        raywf.WorkflowDefinition.from_yaml(text)


def test_an_id_that_a_later_name_would_take_is_no_accident() -> None:
    """`with_options(id="one-2")` and the second `one` may not end up under the same id in silence."""

    def flow() -> Any:
        return [one.with_options(id="one-2")(), one(), one()]

    try:
        found = ids(workflow(flow))
    except raywf.DefinitionError as refused:
        assert "one-2" in str(refused)
    else:
        assert len(set(found)) == 3


def test_a_reference_from_another_workflow_is_refused() -> None:
    kept: list[Any] = []

    def other() -> Any:
        kept.append(one())
        return kept[-1]

    _ = workflow(other).definition

    def flow() -> Any:
        return publish(kept[0])

    message = refusal(flow)
    assert "one" in message and "publish" in message


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: search(), "question"),
        (lambda: search("a", "b"), "search"),
        (lambda: search(question="a", depth=3), "depth"),
        (lambda: search("a", question="b"), "question"),
        (lambda: summarize.map(), "summarize"),
        (lambda: write.map(["a"]), "notes"),
        (lambda: summarize.map(["a"], wrong=1), "wrong"),
    ],
    ids=["missing", "too-many", "unknown-keyword", "twice", "map-of-nothing", "map-missing", "map-unknown-keyword"],
)
def test_wrong_arity_is_refused_naming_task_and_line(call: Callable[[], Any], named: str) -> None:
    def flow() -> Any:
        return call()

    message = refusal(flow)
    assert named in message
    assert call.__code__.co_name == "<lambda>"
    assert str(call.__code__.co_firstlineno) in message, message


def test_wrong_arity_of_a_child_workflow_is_refused() -> None:
    @workflow
    def child(x: int) -> Any:
        return publish(x)

    def flow() -> Any:
        return child()

    message = refusal(flow)
    assert "child" in message and "x" in message


def test_a_plain_function_where_a_task_is_expected_is_refused() -> None:
    def called_with_a_reference() -> Any:
        return publish(plain)  # a function is no value

    assert "plain" in refusal(called_with_a_reference) or "function" in refusal(called_with_a_reference)

    def branch() -> Any:
        return raywf.when(one() > 0, then=plain)

    message = refusal(branch)
    assert "plain" in message


@pytest.mark.parametrize(
    "chance",
    [lambda: time.time(), lambda: time.perf_counter_ns(), lambda: random.random()],
    ids=["clock", "counter", "chance"],
)
def test_a_clock_or_a_random_number_in_the_body_is_refused(chance: Callable[[], Any]) -> None:
    def flow() -> Any:
        return publish(chance())

    assert "publish" in refusal(flow)


def test_a_body_whose_shape_depends_on_chance_is_refused() -> None:
    turns = iter(range(100))

    def flow() -> Any:
        return [one() for _ in range(next(turns))]

    assert refusal(flow)


def test_when_takes_no_python_bool() -> None:
    def flow(question: str) -> Any:
        return raywf.when(True, then=lambda: one())

    message = refusal(flow)
    assert str(line_of(flow, "raywf.when")) in message


def test_when_takes_callables_without_parameters() -> None:
    def with_a_parameter() -> Any:
        return raywf.when(one() > 0, then=lambda x: publish(x))

    assert refusal(with_a_parameter)

    def not_callable() -> Any:
        return raywf.when(one() > 0, then=publish(1))

    assert refusal(not_callable)


def test_a_task_of_one_side_cannot_be_used_outside_of_it() -> None:
    kept: list[Any] = []

    def flow() -> Any:
        def side() -> Any:
            kept.append(one())
            return kept[-1]

        raywf.when(publish(1) > 0, then=side)
        return publish(kept[-1])

    try:
        workflow(flow).definition  # noqa: B018
    except raywf.DefinitionError as refused:
        assert "one" in str(refused)
    else:
        # Where it is allowed it must be defined what happens: a task that needs a skipped one is skipped, too.
        assert raywf.testing.run(workflow(flow)) == 1


def test_a_sleep_that_nothing_uses_is_refused() -> None:
    def flow() -> Any:
        raywf.sleep(5)
        return one()

    message = refusal(flow)
    assert "sleep" in message and str(line_of(flow, "raywf.sleep")) in message


def test_a_used_sleep_is_fine() -> None:
    def by_value() -> Any:
        return publish(raywf.sleep(5, one()))

    def by_order() -> Any:
        return one().after(raywf.sleep(5))

    def by_result() -> Any:
        return raywf.sleep(5, 3)

    for body in (by_value, by_order, by_result):
        assert workflow(body).definition.tasks


def test_functions_of_a_body_outside_of_a_body_are_refused() -> None:
    for call in (
        lambda: raywf.sleep(1),
        lambda: raywf.wait_signal("go"),
        lambda: raywf.approval("ok?"),
        lambda: raywf.gather(),
    ):
        with pytest.raises(raywf.RaywfError):
            call()


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises((raywf.DefinitionError, TypeError), match="retries"):
        task(retries=3)(plain)  # type: ignore[call-overload]
    with pytest.raises((raywf.DefinitionError, TypeError), match="retries"):
        one.with_options(retries=3)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"timeout": "soon"},
        {"runs_on": "moon"},
        {"effect": "exactly_once"},
        {"retry": 3},
        {"num_cpus": -1},
        {"runs_on": "actor", "num_gpus": 1},
    ],
    ids=str,
)
def test_an_option_with_a_senseless_value_is_refused_by_name(options: dict[str, Any]) -> None:
    def flow() -> Any:
        return one.with_options(**options)()

    with pytest.raises((raywf.DefinitionError, TypeError)) as caught:
        _ = workflow(flow).definition
    assert any(name in str(caught.value) for name in options)


def test_a_retry_with_a_senseless_value_is_refused_by_name() -> None:
    for options in ({"max_attempts": 0}, {"initial": -1.0}, {"backoff": 0.0}, {"max_delay": -1}):
        with pytest.raises((raywf.DefinitionError, ValueError, TypeError), match=next(iter(options))):
            raywf.Retry(**options)  # type: ignore[arg-type]


def test_a_definition_error_is_not_a_value_error() -> None:
    assert issubclass(raywf.DefinitionError, raywf.RaywfError)
    assert not issubclass(raywf.DefinitionError, ValueError)


def test_a_resource_option_implies_a_ray_task() -> None:
    @workflow
    def flow() -> Any:
        return one.with_options(num_cpus=1)()

    options = flow.definition.model_dump()["tasks"][0]["options"]
    assert options["runs_on"] == "ray"


def test_version_is_a_label_and_the_content_decides() -> None:
    @task
    def step(x: int) -> int:
        return x

    def body(x: int) -> Any:
        return step(x)

    first, second = workflow(version="1")(body).definition, workflow(version="2")(body).definition
    assert first.version != second.version
    assert first.tasks == second.tasks


# -- JSON and YAML ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["id: [", "{", "- a\n- b", "", "id: 3\ntasks: nothing", "tasks: []", "id: x\ntaskz: []"]
)
def test_broken_yaml_is_a_definition_error_in_one_line(text: str) -> None:
    with pytest.raises(raywf.DefinitionError) as caught:
        raywf.WorkflowDefinition.from_yaml(text)
    assert str(caught.value).strip()


def test_broken_json_says_where() -> None:
    with pytest.raises(raywf.DefinitionError, match="2"):
        raywf.WorkflowDefinition.from_json('{"id": "x",\n "tasks": [}')


def test_a_function_that_does_not_exist_is_named() -> None:
    text = 'id: x\ntasks: [{id: a, function: "tests.contract.tasks:nothing"}]\nresult: {$ref: a}\n'
    with pytest.raises(raywf.RaywfError, match="nothing"):
        raywf.testing.run(raywf.WorkflowDefinition.from_yaml(text))
