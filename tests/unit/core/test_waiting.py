"""Why an execution waits, read off its state; and whether any node can take what a Ray task asks for."""

from __future__ import annotations

import pytest

from raywf.core import events as ev
from raywf.core.execution import fold
from raywf.core.failures import Failure
from raywf.core.waiting import MANY, reasons, unplaceable
from raywf.definition.tasks import task
from raywf.definition.workflows import workflow


@task(num_gpus=2, resources={"licence": 1})
def train(x: int) -> int:
    return x


@workflow
def training(xs: list):  # type: ignore[no-untyped-def, type-arg]
    return train.map(xs)


def test_a_wide_fan_out_is_counted_not_listed() -> None:
    state = fold(training.plan, [ev.ExecutionStarted(b'{"xs":[]}'), ev.MapStarted("train", 100)])
    found = reasons(state)
    assert len(found) == MANY + 1
    assert found[0].text == (
        "train[0] is about to begin, attempt 1, as a Ray task that asks for CPU 1, GPU 2, licence 1"
    )
    assert found[-1].text == "and 95 more items of train (0 of 100 have completed)"


def test_an_ending_execution_says_why_it_ends() -> None:
    failure = Failure("ValueError", "bad", "", 1, False)
    begun = [ev.ExecutionStarted(b'{"xs":[]}'), ev.MapStarted("train", 2), ev.AttemptStarted("train[1]", 1)]
    state = fold(training.plan, [*begun, ev.AttemptFailed("train[0]", failure, 1)])
    assert [reason.kind for reason in reasons(state)] == ["closing", "task"]
    assert "it is ending (failed): bad" in reasons(state)[0].text


@pytest.mark.parametrize(
    ("wanted", "nodes", "words"),
    [
        ({"CPU": 1.0}, [{"CPU": 2.0}], None),
        ({"GPU": 1.0}, [{"CPU": 2.0}], "GPU 1, and the node with most of it has 0"),
        ({"CPU": 8.0}, [{"CPU": 2.0}, {"CPU": 4.0}], "CPU 8, and the node with most of it has 4"),
        ({"CPU": 4.0, "GPU": 1.0}, [{"CPU": 4.0}, {"GPU": 1.0}], "CPU 4, GPU 1 on one node, and none has all"),
        ({"CPU": 1.0}, [], "CPU 1, and the node with most of it has 0"),
    ],
)
def test_what_no_node_can_take(wanted: dict[str, float], nodes: list[dict[str, float]], words: str | None) -> None:
    found = unplaceable(wanted, nodes)
    assert found == (None if words is None else f"it asks for {words}")
