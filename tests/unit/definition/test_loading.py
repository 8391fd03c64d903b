"""Flawed documents are answered in one line: the file, the line, the place, and what was probably meant."""

# ruff: noqa: E501 - a table of flaws reads best with one line for each

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from raywf import DefinitionError, WorkflowDefinition
from raywf.definition.compile import compile_plan
from raywf.definition.graph import Graph

API = """\
id: answer
version: "1"
parameters: {question: {type: string}}
tasks:
  - {id: search, function: "app.tasks:search", args: [{$ref: input.question}], options: {timeout: 30}}
  - {id: summarize, function: "app.tasks:summarize", map: [{$ref: search}]}
  - {id: write, function: "app.tasks:write", args: [{$ref: input.question}, {$ref: summarize}]}
  - {id: check, when: {op: "<", left: {$ref: write.score}, right: 0.7}, then: [ask], otherwise: [], result: {then: {$ref: ask}, otherwise: {$ref: write}}}
  - {id: ask, approval: {prompt: "Publish?", data: {$ref: write}, timeout: 3600}}
  - {id: publish, function: "app.tasks:publish", args: [{$ref: check}]}
result: {$ref: publish}
"""


def test_the_example_of_the_api_loads() -> None:
    definition = WorkflowDefinition.from_yaml(API)
    plan = compile_plan(definition)
    assert [node.id for node in plan.nodes] == ["search", "summarize", "write", "check", "ask", "publish"]
    assert plan.nodes[3].then == (4,)
    assert plan.nodes[0].options.timeout == 30
    assert WorkflowDefinition.from_yaml(definition.to_yaml()) == definition
    assert WorkflowDefinition.from_json(definition.to_json()) == definition


FLAWS = [
    # what is replaced, by what, the line, what must be said
    ("$ref: search}", "$ref: serch}", 6, r"tasks\[1\]\.map\[0\]\.\$ref: unknown dependency: there is no task 'serch'. Did you mean 'search'"),
    ("input.question}, {$ref: sum", "input.qestion}, {$ref: sum", 7, r"no parameter 'qestion'. Did you mean 'question'"),
    ("id: search, function", "id: search, funktion", 5, r"tasks\[0\]\.funktion: there is no field 'funktion' here. Did you mean 'function'"),
    ("options: {timeout: 30}", "options: {timeot: 30}", 5, r"tasks\[0\]\.options.*no option 'timeot'. Did you mean 'timeout'"),
    ("options: {timeout: 30}", "options: {timeout: -3}", 5, r"timeout \(seconds\) is -3"),
    ("options: {timeout: 30}", "options: {retry: {max_attempt: 3}}", 5, r"retry has no field 'max_attempt'. Did you mean 'max_attempts'"),
    ("options: {timeout: 30}", "options: {retry: {max_attempts: 0}}", 5, r"max_attempts=0"),
    ("options: {timeout: 30}", "options: {num_cpus: 1, runs_on: actor}", 5, "is a resource of a Ray task"),
    ("id: summarize", "id: search", 6, r"tasks\[1\]\.id: duplicate id 'search': tasks\[0\] has it"),
    ("id: summarize", "id: 1st", 6, "task id '1st'"),
    ("id: summarize", "id: input", 6, "'input' is reserved"),
    ("id: summarize, ", "", 6, r"tasks\[1\]: 'id' is missing"),
    ('op: "<"', 'op: "<>"', 8, r"tasks\[3\]\.when\.op: '<>' is not a comparison"),
    (", right: 0.7", "", 8, r"tasks\[3\]\.when: the comparison has no 'right'"),
    ("when: {op: \"<\", left: {$ref: write.score}, right: 0.7}", "when: {nott: {$ref: write}}", 8, "no key 'nott'. Did you mean 'not'"),
    ("when: {op: \"<\", left: {$ref: write.score}, right: 0.7}", "when: {$const: true}", 8, "the condition is a constant"),
    ("when: {op: \"<\", left: {$ref: write.score}, right: 0.7}", "when: true", 8, r"tasks\[3\]\.when: input should be a valid dictionary, not True"),
    ("then: [ask]", "then: [aks]", 8, r"tasks\[3\]\.then\[0\]: task 'check': there is no task 'aks'. Did you mean 'ask'"),
    ("then: [ask], otherwise: []", "then: [ask], otherwise: [ask]", 8, "belongs to a side of 'check' already"),
    ("then: {$ref: ask}", "then: {$reff: ask}", 8, r"no operator '\$reff'. Did you mean '\$ref'"),
    ("result: {then", "result: {than", 8, "there is no field 'than' here. Did you mean 'then'"),
    ("timeout: 3600", "timeout: 0", 9, r"tasks\[4\].approval.timeout: task 'ask': timeout \(seconds\) is 0: it must be a number above 0"),
    ("approval: {prompt: \"Publish?\", data: {$ref: write}, timeout: 3600}", "sleep: {seconds: soon}", 9, r"sleep.seconds: .*'soon'"),
    ("approval: {prompt: \"Publish?\", data: {$ref: write}, timeout: 3600}", "signal: {name: 5}", 9, r"signal.name: .*is text, not 5"),
    ("prompt: \"Publish?\"", "promt: \"Publish?\"", 9, "'prompt' is missing|no field 'promt'"),
    ("approval: {", "function: \"a:b\", approval: {", 9, "says function and approval: give exactly one"),
    ("approval: {prompt: \"Publish?\", data: {$ref: write}, timeout: 3600}", "after: [write]", 9, "says nothing about what it does"),
    ("map: [{$ref: search}]", "map: []", 6, "has an empty map"),
    ("map: [{$ref: search}]", "map: [{$ref: search}], args: [1]", 6, "has args and map"),
    ("map: [{$ref: search}]", "then: [ask]", 6, "'then' does not go with 'function'"),
    ("map: [{$ref: search}]", "after: [serch]", 6, r"tasks\[1\]\.after\[0\]: task 'summarize': unknown dependency 'serch'. Did you mean 'search'"),
    ("app.tasks:publish", "app.tasks.publish", 10, "is not of the form 'package.module:function'"),
    ("args: [{$ref: check}]", "args: [{$ref: ask}]", 10, "task 'publish' refers to task 'ask', which belongs to the then side of 'check' and may not run: use the value of 'check'"),
    ("args: [{$ref: check}]", "args: {$ref: check}", 10, r"tasks\[5\]\.args: input should be a valid list"),
    ("args: [{$ref: check}]", "args: [{$ref: check, pth: [a]}]", 10, r"'pth' does not go with '\$ref'"),
    ("args: [{$ref: check}]", "args: [{$ref: check.a b}]", 10, "the key 'a b' of 'check.a b' is not a simple name"),
    ("args: [{$ref: check}]", "args: [{$ref: check, path: [1.5]}]", 10, r"\$ref|path\[0\]: a key is text or an integer"),
    ("args: [{$ref: check}]", "args: [{$ref: 5}]", 10, "a reference is text"),
    ("args: [{$ref: check}]", "args: [{$template: abc}]", 10, r"\$template takes a list"),
    ("args: [{$ref: check}]", "args: [{$template: [{value: {$ref: check}, conversion: x}]}]", 10, "a conversion is"),
    ("args: [{$ref: check}]", "args: [{$template: [{value: {$ref: check}, specs: x}]}]", 10, "value, conversion and spec, not 'specs'"),
    ("args: [{$ref: check}]", "args: [{$dict: [[1]]}]", 10, "a list of a key and a value"),
    ("args: [{$ref: check}]", "args: [{$dict: [[{$ref: check}, 1]]}]", 10, "a key must be a constant"),
    ("args: [{$ref: check}]", "args: [{$ref: write}], after: [ask]", 10, "refers to task 'ask', which belongs"),
    ("result: {$ref: publish}", "result: {$ref: publsh}", 11, r"result.\$ref: unknown dependency: there is no task 'publsh'. Did you mean 'publish'"),
    ("result: {$ref: publish}", "result: {$ref: ask}", 11, "the result refers to task 'ask'"),
    ("result: {$ref: publish}", "reslt: {$ref: publish}", 11, "there is no field 'reslt' here. Did you mean 'result'"),
    ("type: string", "type: strin", 3, r"parameters.question: this is not a JSON schema.*'strin'"),
    ("{type: string}", "{type: string, default: {$ref: search}}", 3, "a default is a constant"),
    ("parameters: {question: {type: string}}", "parameters: {question: string}", 3, r"parameters.question: input should be a valid dictionary, not 'string'"),
    ("{question: {type", "{priority: {type: string}, question: {type", 3, "'priority' of workflow 'answer' has the name of an option"),
    ("{question: {type", "{a-b: {}, question: {type", 3, "'a-b' is not a name"),
    ("id: answer", "id: my answer", 1, "workflow id 'my answer'"),
    ("version: \"1\"", "version: [1]", 2, "version: input should be a valid string"),
    ("version: \"1\"", "version: \"1\"\nversion: \"2\"", 3, "the key 'version' stands twice"),
    ("tasks:\n", "tasks:\n  - 5\n", 5, r"tasks\[0\]: input should be a valid dictionary"),
    ("result: {$ref: publish}", "result: {$ref: publish", 12, "this is not YAML"),
    ("id: answer", "id: *answer", 1, "this is not YAML.*undefined alias"),
    ("id: answer", "\tid: answer", 1, "this is not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said"), FLAWS, ids=[str(at) for at in range(len(FLAWS))])
def test_a_flaw_in_yaml_is_named_with_file_line_and_place(
    old: str, new: str, line: int, said: str, tmp_path: Path
) -> None:
    assert old in API
    path = tmp_path / "answer.yaml"
    path.write_text(API.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        WorkflowDefinition.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert re.search(said, message), message
    assert "\n" not in message


def test_a_flaw_in_json_is_named_with_its_line_too(tmp_path: Path) -> None:
    text = WorkflowDefinition.from_yaml(API).to_json()
    line = text[: text.index('"$ref": "search"')].count("\n") + 1
    path = tmp_path / "answer.json"
    path.write_text(text.replace('"$ref": "search"', '"$ref": "serch"'), encoding="utf-8")
    with pytest.raises(DefinitionError, match=rf"answer.json:{line}: tasks\[1\].map\[0\]..ref: .*'serch'"):
        WorkflowDefinition.load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a",\n"b" 5}', r"JSON:2: this is not JSON: .* at column 5"),
        ('{"id": "a", "id": "b"}', "the key 'id' stands twice"),
        ('{"id": "a", "result": NaN}', "NaN is not JSON"),
        ("[1]", r"JSON: holds list \[1\]; a definition is an object"),
        ("null", "JSON: is empty"),
        ("", "JSON:1: this is not JSON"),
        (b"\xff", "byte 0 is not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id": "a", "result": "\\ud800"}', "not JSON"),
    ],
)
def test_what_is_no_json(text: str | bytes, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        WorkflowDefinition.from_json(text)
    assert "\n" not in str(caught.value)


def test_what_is_no_definition_in_yaml() -> None:
    for text, said in (("", "is empty"), ("- 1", "holds list"), ("just text", "holds str"), ("a: &x [*x]", "YAML")):
        with pytest.raises(DefinitionError, match=said):
            WorkflowDefinition.from_yaml(text)


def test_a_flaw_in_a_child_has_its_place_in_the_whole() -> None:
    text = """\
id: parent
tasks:
  - id: inner
    workflow:
      id: child
      tasks:
        - id: one
          function: "app:one"
          args: [{$ref: input.n}]
"""
    with pytest.raises(DefinitionError) as caught:
        WorkflowDefinition.from_yaml(text)
    assert str(caught.value) == (
        r"YAML:9: tasks[0].workflow.tasks[0].args[0].$ref: workflow 'child' has no parameter 'n'."
    )


def test_yaml_may_say_more_than_json() -> None:
    """Dates, other keys and anchors mean what a reader of YAML expects."""
    text = """\
id: a
version: 2
parameters: {n:}
tasks:
  - id: one
    function: "app:one"
    kwargs:
      day: 2024-05-01
      table: {1: {$ref: input.n}, 2: two}
      fixed: &fixed {1: 2}
      infinite: .inf
  - {id: two, function: "app:two", args: [*fixed]}
"""
    definition = WorkflowDefinition.from_yaml(text)
    kwargs = definition.tasks[0].kwargs
    assert definition.version == "2"
    assert definition.parameters == {"n": {}}
    assert kwargs["day"] == {"$const": {"$t": "date", "v": "2024-05-01"}}
    assert kwargs["table"] == {"$dict": [[1, {"$ref": "input.n"}], [2, "two"]]}
    assert kwargs["infinite"] == {"$const": {"$t": "float", "v": "inf"}}
    assert definition.tasks[1].args == [{"$dict": [[1, 2]]}]
    assert WorkflowDefinition.from_yaml(definition.to_yaml()) == definition


@pytest.mark.parametrize(
    ("tasks", "path"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "a → c → b → a|b → a → c → b|c → b → a → c|a → b → c → a"),
        ({"a": "a"}, "a → a"),
        ({"x": None, "a": "b", "b": "a"}, "a → b → a|b → a → b"),
    ],
)
def test_a_cycle_of_data_prints_the_whole_path(tasks: dict[str, str | None], path: str) -> None:
    lines = ["id: w", "tasks:"]
    lines += [
        f"  - {{id: {id}, function: 'm:f', args: [{f'{{$ref: {need}}}' if need else 1}]}}" for id, need in tasks.items()
    ]
    with pytest.raises(DefinitionError, match=rf"YAML:\d+: tasks\[\d\]: .*cycle: ({path})\."):
        WorkflowDefinition.from_yaml("\n".join(lines))


def test_the_path_of_a_cycle_goes_in_the_order_of_running() -> None:
    text = "id: w\ntasks:\n- {id: a, function: 'm:f', args: [{$ref: c}]}\n- {id: b, function: 'm:f', args: [{$ref: a}]}\n- {id: c, function: 'm:f', after: [b]}\n"
    with pytest.raises(DefinitionError, match="cycle: a → b → c → a"):
        WorkflowDefinition.from_yaml(text)


WHEN = """\
id: w
parameters: {n: {}}
tasks:
  - {id: gate, when: {$ref: %s}, then: [inner], result: {then: {$ref: inner}}}
  - {id: inner, function: "m:f", args: [%s]}
  - {id: outer, function: "m:f", args: [{$ref: gate}]}
"""


@pytest.mark.parametrize(
    ("condition", "argument", "path"),
    [
        ("outer", "1", "gate → outer → gate"),
        ("input.n", "{$ref: outer}", "gate → outer → inner → gate"),
        ("input.n", "{$ref: gate}", "gate → inner → gate"),
        ("gate", "1", "gate → gate"),
    ],
)
def test_cycles_through_a_when_are_found(condition: str, argument: str, path: str) -> None:
    with pytest.raises(DefinitionError, match="cycle") as caught:
        WorkflowDefinition.from_yaml(WHEN % (condition, argument))
    said = re.search(r"cycle: (.*)\. ", str(caught.value))
    assert said is not None
    steps = said[1].split(" → ")
    assert steps[0] == steps[-1]
    assert set(pairwise(steps)) == set(pairwise(path.split(" → ")))


def test_a_condition_on_a_member_of_its_own_side_is_refused() -> None:
    with pytest.raises(
        DefinitionError, match="task 'gate' refers to task 'inner', which belongs to the then side of 'gate'"
    ):
        WorkflowDefinition.from_yaml(WHEN % ("inner", "1"))


def test_whens_that_contain_each_other_are_refused() -> None:
    text = "id: w\nparameters: {n: {}}\ntasks:\n- {id: a, when: {$ref: input.n}, then: [b]}\n- {id: b, when: {$ref: input.n}, then: [a]}\n"
    with pytest.raises(DefinitionError, match=r"cycle: (a → b → a|b → a → b)"):
        WorkflowDefinition.from_yaml(text)
    with pytest.raises(DefinitionError, match="cycle: a → a"):
        WorkflowDefinition.from_yaml(
            "id: w\nparameters: {n: {}}\ntasks:\n- {id: a, when: {$ref: input.n}, then: [a]}\n"
        )


def test_a_sleep_nothing_uses_is_refused_in_data_too() -> None:
    with pytest.raises(DefinitionError, match="nothing uses the sleep 'nap'"):
        WorkflowDefinition.from_yaml("id: w\ntasks:\n- {id: nap, sleep: {seconds: 5}}\n")


def test_a_graph_tells_who_waits_for_whom() -> None:
    graph = Graph(WorkflowDefinition.from_yaml(API))
    assert [graph.needs(at) for at in range(6)] == [(), (0,), (1,), (2,), (2, 3), (3,)]
    assert graph.guards(4) == ((3, True),)
