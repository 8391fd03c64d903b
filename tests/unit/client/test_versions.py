"""Deployments of a workflow: which version is current, what follows it, and migrations that name what is not there."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

import raywf
from raywf.client import versions as of
from raywf.client.schedules import Schedules, spec_of
from raywf.core.schedules import spec_from
from raywf.definition.changes import changes, graph_diff
from raywf.definition.migrations import migration_for
from raywf.journal.memory import MemoryJournal
from raywf.runtime.definitions import definition_row


@raywf.task
def greet(name: str, tone: str = "kind") -> str:
    return f"{tone} {name}"


@raywf.task
def shout(text: str) -> str:
    return text.upper()


@raywf.workflow(id="hello")
def one(name: str):
    return greet(name)


@raywf.workflow(id="hello", version="2")
def two(name: str, tone: str = "kind"):
    return shout(greet(name, tone))


@raywf.workflow(id="hello", version="3")
def three(name: str, tone: str):
    return shout(greet(name, tone))


async def deployed(journal: Any, workflow: Any) -> of.Deployment:
    return await of.deploy(journal, "default", workflow, "ann")


def test_deploying_twice_is_once_and_a_rollback_is_a_deployment() -> None:
    async def main() -> None:
        journal = MemoryJournal("versions-1")
        first, again = await deployed(journal, one), await deployed(journal, one)
        assert (first.number, first.changed, first.previous) == (1, True, None)
        assert (again.number, again.changed) == (1, False)
        second = await deployed(journal, two)
        assert (second.number, second.previous) == (2, one.definition.content_hash)
        back = await of.rollback(journal, "default", "hello", "memory://x", None, "ann")
        assert (back.number, back.label) == (3, "1")
        found = await of.current_definition(journal, "default", "hello", "memory://x")
        assert found == one.definition
        known = await of.versions(journal, "default", "hello", "memory://x")
        assert [(each.label, each.current) for each in known] == [("1", True), ("2", False)]
        with pytest.raises(raywf.NotFound, match=r"no version of workflow 'hallo' is deployed.*Did you mean 'hello'"):
            await of.current_definition(journal, "default", "hallo", "memory://x")

    asyncio.run(main())


def test_a_version_is_named_by_hash_or_label_and_never_guessed() -> None:
    async def main() -> None:
        journal = MemoryJournal("versions-2")
        for workflow in (one, two):
            await deployed(journal, workflow)
        known = await of.versions(journal, "default", "hello", "memory://x")
        assert of.the_version(known, one.definition.content_hash[:6]).label == "1"
        assert of.the_version(known, "2").hash == two.definition.content_hash
        with pytest.raises(raywf.NotFound, match="has no version '9'"):
            of.the_version(known, "9")
        same = [known[0], known[1].model_copy(update={"label": "1"})]
        with pytest.raises(raywf.InvalidInput, match=r"could be .* say which by its hash"):
            of.the_version(same, "1")

    asyncio.run(main())


async def scheduled(journal: Any, follow: bool) -> Schedules:
    schedules = Schedules(journal, "default", "memory://x")
    spec = replace(spec_of(one, "ann", {"cron": "0 7 * * *"}, 0, None, None), follow=follow)
    await schedules.put(one, spec, "lane", f"daily-{follow}", False)
    return schedules


def test_a_schedule_that_follows_is_moved_by_a_deployment_and_others_stay() -> None:
    async def main() -> None:
        journal = MemoryJournal("versions-3")
        await scheduled(journal, False)
        await scheduled(journal, True)
        assert (await deployed(journal, two)).followers == ["daily-True"]
        specs = {row.id: spec_from(row.spec) for row in await journal.schedules("default")}
        assert specs["daily-False"].definition == one.definition.content_hash
        assert specs["daily-True"].definition == two.definition.content_hash
        assert json.loads(specs["daily-True"].input) == {"name": "ann", "tone": "kind"}

    asyncio.run(main())


def test_what_follows_and_does_not_fit_keeps_the_version_from_being_deployed() -> None:
    async def main() -> None:
        journal = MemoryJournal("versions-4")
        await deployed(journal, one)
        await scheduled(journal, True)
        with pytest.raises(
            raywf.InvalidInput, match=r"schedule 'daily-True' follows workflow 'hello'.*'tone': is missing"
        ):
            await deployed(journal, three)
        assert await of.current(journal, "default", "hello") == one.definition.content_hash

    asyncio.run(main())


def test_two_who_deploy_at_once_both_count() -> None:
    async def main() -> None:
        journal = MemoryJournal("versions-5")
        for workflow in (one, two):
            await journal.put_definition(definition_row(workflow.definition))
        found = await asyncio.gather(deployed(journal, one), deployed(journal, two))
        assert sorted(each.number for each in found) == [1, 2]
        assert len(await journal.deployments("default", "hello")) == 2

    asyncio.run(main())


def test_differences_are_told_in_words_and_as_a_diff_of_the_graph() -> None:
    said = changes(one.definition, two.definition)
    assert "added parameter tone (it has a default)" in said
    assert "added shout, after greet" in said
    assert any(line.startswith("changed greet: args") for line in said)
    assert "+shout = tests.unit.client.test_versions:shout(greet)" in graph_diff(one.definition, two.definition)
    assert changes(one.definition, one.definition) == []
    assert "removed shout" in changes(two.definition, one.definition)


def test_the_migration_that_names_a_version_most_exactly_is_taken_and_two_are_refused() -> None:
    @raywf.workflow(id="mine", version="9")
    def mine(name: str):
        return greet(name)

    any_ = raywf.migration(mine)
    labelled = raywf.migration(mine, from_="1")
    exact = raywf.migration(mine, from_="abcd")
    assert migration_for(mine, "abcd" + "0" * 60, "1") is exact
    assert migration_for(mine, "0" * 64, "1") is labelled
    assert migration_for(mine, "0" * 64, "2") is any_
    raywf.migration(mine, from_="1")
    with pytest.raises(raywf.DefinitionError, match=r"two migrations of workflow 'mine' begin with version 1"):
        migration_for(mine, "0" * 64, "1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep": "greet"}, "a list of task ids"),
        ({"to": "3"}, "it leads to version '3', and workflow 'hello' is version '2'"),
        ({"rename": {"a": 1}}, "maps old task ids to new ones"),
    ],
)
def test_a_migration_that_cannot_be_meant_is_refused_where_it_is_written(given: dict[str, Any], said: str) -> None:
    with pytest.raises(raywf.DefinitionError, match=said) as refused:
        raywf.migration(two, **given)
    assert "test_versions.py:" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rename": {"greeet": "greet"}}, "rename: there is no task 'greeet' in version 1 .*Did you mean 'greet'"),
        ({"keep": ["shuot"]}, "keep: there is no task 'shuot' in version 2.*Did you mean 'shout'"),
        ({"convert": {"grete": str}}, "convert: there is no task 'grete'"),
        ({"keep": ["greet"], "rerun": ["greet"]}, "to be kept and to run again"),
    ],
)
def test_a_migration_names_only_what_is_there(given: dict[str, Any], said: str) -> None:
    @raywf.workflow(id="hello", version="2")
    def other(name: str):
        return shout(greet(name))

    with pytest.raises(raywf.DefinitionError, match=said):
        raywf.migration(other, **given).check(one.definition, other.definition)
