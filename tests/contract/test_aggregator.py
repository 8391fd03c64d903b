"""The contract: an aggregator learns from all who ask it, forgets nothing that was acknowledged, and counts nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

import raywf
from raywf import Candidate, task, workflow
from raywf.aggregation import Fields

pytestmark = pytest.mark.cluster


def votes(*values: Any) -> list[Candidate]:
    return [Candidate(value, f"source-{n}") for n, value in enumerate(values)]


def test_what_is_merged_is_answered_and_learned_from(engine: raywf.WorkflowEngine) -> None:
    triage = engine.aggregator("triage", strategy="majority")
    result = triage.merge(votes("billing", "billing", "spam"), item="ticket-1")
    assert (result.value, result.calibrated) == ("billing", False)
    assert [(each.value, each.sources) for each in result.conflicts] == [("spam", ("source-2",))]
    for n in range(30):
        triage.merge(votes("a", "b", "b"), item=f"t-{n}")
        triage.feedback(item=f"t-{n}", truth="a")
    assert triage.merge(votes("a", "b", "c"), item="next").value == "a"
    state = triage.state()
    assert (state.items, state.gold) == (32, 30)
    assert state.trust["source-0"].mean > 0.9 > 0.1 > state.trust["source-1"].mean
    (clones,) = [each for each in triage.insights() if each.kind == "clones"]
    assert clones.sources == ("source-1", "source-2")


def test_values_come_back_as_they_were_given(engine: raywf.WorkflowEngine) -> None:
    found = engine.aggregator("values").merge(votes((1, 2), (1, 2), {"k": [1.5]}), item="x")
    assert found.value == (1, 2)
    assert found.conflicts[0].value == {"k": [1.5]}


class Order(BaseModel):
    net: float
    gross: float

    @model_validator(mode="after")
    def _no_less(self) -> Order:
        if self.gross < self.net:
            raise ValueError("gross is less than net")
        return self


def test_records_are_merged_field_by_field_by_an_actor_that_does_not_know_their_class(
    engine: raywf.WorkflowEngine,
) -> None:
    orders = engine.aggregator("orders", strategy="fields")
    found = orders.merge(votes(Order(net=1, gross=2), Order(net=1, gross=3), Order(net=1, gross=2)), item="sound")
    assert found.value == Order(net=1, gross=2)
    assert [(part.path, part.value) for part in found.parts] == [("/net", 1), ("/gross", 2)]
    mixed = orders.merge(votes(Order(net=10, gross=11), Order(net=10, gross=11), Order(net=2, gross=3)), item="a")
    assert mixed.value == Order(net=10, gross=11)
    broken = orders.merge(
        [
            Candidate(Order(net=10, gross=10), "a", weight=2.0),
            Candidate(Order(net=3, gross=4), "b", weight=2.0),
            Candidate(Order(net=10, gross=12), "c", weight=0.5),
            Candidate(Order(net=2, gross=4), "d", weight=2.0),
            Candidate(Order(net=10, gross=13), "e", weight=2.0),
        ],
        item="b",
    )
    assert isinstance(broken.value, Order) and broken.value.gross >= broken.value.net
    assert engine.aggregator("orders").merge(votes({"x", "y"}, {"x"}, {"x", "y"}), item="set").value == {"x", "y"}
    with pytest.raises(raywf.InvalidInput, match="takes the name of a strategy"):
        engine.aggregator("orders", strategy=Fields())  # type: ignore[arg-type]


def test_bad_input_is_refused_before_anything_is_sent(engine: raywf.WorkflowEngine) -> None:
    strict = engine.aggregator("strict")
    with pytest.raises(raywf.InvalidInput, match=r"no strategy 'mojority'.*did you mean 'majority'"):
        engine.aggregator("strict", strategy="mojority")
    with pytest.raises(raywf.InvalidInput, match="without '/'"):
        engine.aggregator("a/b")
    with pytest.raises(raywf.InvalidInput, match="answers twice") as bad:
        strict.merge_many([votes("a"), [Candidate("x", "s"), Candidate("y", "s")]], items=["good", "bad"])
    assert bad.value.index == 1
    with pytest.raises(raywf.InvalidInput, match="truth of item 'x' is None"):
        strict.feedback("x", None)
    with pytest.raises(raywf.InvalidInput, match="1 to 500 characters"):
        strict.merge(votes("a"), item="")
    assert strict.state().items == 0


def test_after_kill_9_it_knows_what_it_knew_bit_for_bit(engine: raywf.WorkflowEngine) -> None:
    agg = engine.aggregator("mortal", strategy="majority")
    batch = [votes("a", "b" if n % 3 else "a", "c" if n % 5 else "a") for n in range(700)]
    agg.merge_many(batch, items=[f"i-{n}" for n in range(700)])
    agg.feedback_many({f"i-{n}": "a" for n in range(0, 700, 7)})
    before = agg.state()
    assert (before.items, before.gold) == (700, 100)
    os.kill(before.pid, signal.SIGKILL)
    after = agg.state()
    assert after.pid != before.pid
    assert after._replace(pid=before.pid) == before, "the digest is over every sum"
    os.kill(after.pid, signal.SIGKILL)
    agg.merge_many(batch[:50], items=[f"i-{n}" for n in range(50)])  # while it is down; and all of it was said before
    assert agg.state().trust == before.trust
    assert agg.state().items == 700


def test_shards_of_many_nodes_add_up_in_any_order(engine: raywf.WorkflowEngine) -> None:
    from raywf.client.aggregators import Shard

    one, two = Shard(), Shard()
    for n in range(20):
        one.add(f"i-{n}", votes("a", "b"), at=1000.0 + n)
        two.add(f"i-{n + 10}", [Candidate("b", "late")], at=2000.0 + n)
    first, second = engine.aggregator("first"), engine.aggregator("second")
    assert first.absorb(one) == 20
    assert (first.absorb(two), first.absorb(one)) == (20, 0)
    second.absorb(two.merged(one).merged(two))
    assert first.state().digest == second.state().digest


async def test_in_asyncio_what_is_asked_at_once_travels_together(shared_ray: str, tmp_path: Any) -> None:
    async with raywf.connect_async(store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        agg = engine.aggregator("async", strategy="majority")
        results = await asyncio.gather(*(agg.merge(votes(n % 3, n % 3, 9), item=f"i-{n}") for n in range(300)))
        assert [each.value for each in results] == [n % 3 for n in range(300)]
        assert (await agg.state()).items == 300


@task
def careless(question: str) -> str:
    return "no"


@task
def hasty(question: str) -> str:
    return "no"


@task
def careful(question: str) -> str:
    return "yes"


@workflow
def answered(question: str) -> Any:
    asked = [careless(question), hasty(question), careful(question)]
    return raywf.aggregate(asked, strategy="stack", aggregator="panel")


def test_a_workflow_learns_from_feedback_and_outlives_the_kill_of_its_aggregator(engine: raywf.WorkflowEngine) -> None:
    panel = engine.aggregator("panel")
    first = engine.submit(answered, "q", execution_id="question-0").result()
    assert (first.value, first.calibrated, first.rung) == ("no", False, "votes")
    assert first.why.startswith("0 truths so far")
    for handle in [engine.submit(answered, "q", execution_id=f"question-{n}") for n in range(1, 60)]:
        handle.result()
    panel.feedback_many({f"question-{n}": "yes" for n in range(60)})
    os.kill(panel.state().pid, signal.SIGKILL)
    after = engine.submit(answered, "q", execution_id="question-60").result()
    assert (after.value, after.calibrated, after.rung) == ("yes", True, "")
    assert after.strategy in ("stack", "best_source") and after.confidence > 0.9
    state = panel.state()
    assert (state.items, state.gold) == (61, 60)
