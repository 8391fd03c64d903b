"""to_mermaid: every task, every edge, and nothing of a user's text that could mean something to Mermaid."""

from __future__ import annotations

import re
from typing import Any

from raywf import WorkflowDefinition, approval, gather, sleep, task, wait_signal, when, workflow
from raywf.definition.drawing import label


@task
def make(*args: Any, **kwargs: Any) -> Any:
    return args


@workflow
def inner(n: int) -> Any:
    return make(n)


@workflow
def body(question: str, n: int) -> Any:
    first = make(question)
    many = make.map(first)
    chosen = when(first["x"] > n, then=lambda: approval("Ok?", data=make(many)), otherwise=lambda: many)
    late = sleep(5, chosen)
    paid = wait_signal("paid")
    return gather(inner(late), inner.map(many), paid, make().after(paid))


def test_shapes_tell_the_kinds_apart() -> None:
    lines = {line.strip() for line in body.definition.to_mermaid().splitlines()}
    assert "flowchart TD" in lines
    assert 't0["make"]' in lines
    assert 't1[["make-2 × n"]]' in lines
    assert 't2{"when?"}' in lines
    assert 't4{{"approval (a person)"}}' in lines
    assert 't5(["sleep (time)"])' in lines
    assert 't6>"wait_signal (signal)"]' in lines
    assert 'input(["question, n"])' in lines


def test_edges_follow_the_values() -> None:
    lines = {line.strip() for line in body.definition.to_mermaid().splitlines()}
    assert {"input --> t0", "t0 --> t1", "t0 --> t2", "t2 -->|then| t3", "t3 --> t4"} <= lines
    assert {"t4 --> t5", "t2 -->|otherwise| t5", "t5 --> t7", "t6 -.-> t9"} <= lines
    assert "t10 --> result" in lines


def test_states_colour_the_tasks() -> None:
    text = body.definition.to_mermaid({"make": "completed", "when": "running", "no-such": "failed", "sleep": "odd"})
    assert "class t0 completed" in text
    assert "class t2 running" in text
    assert "classDef completed fill:" in text
    assert "failed" not in text
    assert "odd" not in text


def test_labels_are_escaped() -> None:
    assert label('say "hi" <b> & #1;\nnext') == '"say #34;hi#34; #60;b#62; #38; #35;1#59;<br/>next"'
    assert not re.search(r'["|>`]', label('"]}|>;`')[1:-1])


def test_an_empty_workflow_can_be_drawn() -> None:
    assert WorkflowDefinition(id="w").to_mermaid() == 'flowchart TD\n    result(["result"])\n'
