"""The versions of a workflow that a store has, and which one is current. Rows of the store: no engine is needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.checks import check_text
from raywf.client.followers import follow, following
from raywf.client.reading import instant
from raywf.config import shown
from raywf.definition.lines import did_you_mean
from raywf.definition.migrations import SHORTEST
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import InvalidInput, NotFound
from raywf.journal.factory import ReadingInbox
from raywf.ports import DeploymentRow, Reader, VersionRow
from raywf.runtime.definitions import definition_row

_TRIES = 5


class Version(BaseModel):
    """A version of a workflow. ``hash`` is its content hash, ``label`` what it calls itself (``@workflow(version=…)``); ``current``:
    new executions that are started by name get it. ``open`` counts the executions that go on under it. ``first_seen`` is None for one
    that was stored before stores kept that."""

    model_config = ConfigDict(frozen=True)

    workflow: str
    hash: str
    label: str
    first_seen: datetime | None
    open: int
    current: bool
    deployed_at: datetime | None
    deployed_by: str | None


class Deployment(BaseModel):
    """What a deployment did. ``changed`` False: that version was current already. ``number`` counts the deployments of the
    workflow; ``previous`` is the hash that was current before; ``followers`` are the schedules and triggers that follow it."""

    model_config = ConfigDict(frozen=True)

    workflow: str
    hash: str
    label: str
    number: int
    changed: bool
    previous: str | None
    followers: list[str] = []


async def versions(reader: Reader, namespace: str, workflow: str, url: str) -> list[Version]:
    """Every version of a workflow, in the order in which they were first seen. Raises ``NotFound`` for a workflow that the store
    has never seen."""
    rows = await reader.versions(namespace, workflow)
    if not rows:
        deployed = {row.workflow for row in await reader.deployments(namespace)}
        known = deployed | {row.workflow for row in await reader.executions(namespace, limit=200)}
        raise NotFound(
            f"the store {shown(url)} has no version of a workflow {workflow!r}.{did_you_mean(workflow, known)} A version is there "
            "as soon as it is deployed, or an execution of it was started"
        )
    done = await reader.deployments(namespace, workflow)
    last = {row.hash: row for row in done}
    return [_version(row, last.get(row.hash), bool(done) and done[-1].hash == row.hash) for row in rows]


def _version(row: VersionRow, deployed: DeploymentRow | None, current: bool) -> Version:
    return Version(
        workflow=row.workflow,
        hash=row.hash,
        label=row.label,
        first_seen=None if row.seen_at is None else instant(row.seen_at),
        open=row.open,
        current=current,
        deployed_at=None if deployed is None else instant(deployed.at),
        deployed_by=None if deployed is None else deployed.by,
    )


def the_version(known: Sequence[Version], wanted: str) -> Version:
    """The version that a hash, the beginning of one, or a label names. Raises ``NotFound``, and ``InvalidInput`` where it names
    several."""
    wanted = str(wanted)
    found = [each for each in known if len(wanted) >= SHORTEST and each.hash.startswith(wanted)]
    found = found or [each for each in known if each.label == wanted]
    if len(found) == 1:
        return found[0]
    workflow = known[0].workflow if known else ""
    if found:
        several = ", ".join(each.hash[:12] for each in found)
        raise InvalidInput(f"version {wanted!r} of workflow {workflow!r} could be {several}: say which by its hash")
    names = [*(each.label for each in known), *(each.hash[:12] for each in known)]
    raise NotFound(
        f"workflow {workflow!r} has no version {wanted!r}.{did_you_mean(wanted, names)} It has "
        + ", ".join(f"{each.label} ({each.hash[:12]})" for each in known)
    )


async def current(reader: Reader, namespace: str, workflow: str) -> str | None:
    """The hash of the version that is current; None where none was ever deployed."""
    done = await reader.deployments(namespace, workflow)
    return done[-1].hash if done else None


async def current_definition(reader: Reader, namespace: str, workflow: str, url: str) -> WorkflowDefinition:
    """The version that an execution started by name gets. Raises ``NotFound``."""
    hash_ = await current(reader, namespace, workflow)
    row = None if hash_ is None else await reader.definition(hash_)
    if row is None:
        deployed = sorted({each.workflow for each in await reader.deployments(namespace)})
        raise NotFound(
            f"no version of workflow {workflow!r} is deployed in namespace {namespace!r} of {shown(url)}."
            f"{did_you_mean(workflow, deployed)} Deployed are {', '.join(deployed) or 'none'}: `raywf deploy MODULE:NAME` deploys "
            "one, or submit the workflow itself"
        )
    return WorkflowDefinition.from_json(row.body)


async def deploy(
    inbox: ReadingInbox, namespace: str, wf: Workflow[..., Any] | WorkflowDefinition, by: str | None
) -> Deployment:
    """Store a version and make it current. Twice is once. Raises ``DefinitionError``, ``CodeMissing``."""
    if by is not None:
        check_text("by", by)
    workflow = as_workflow(wf)
    definition = workflow.definition
    workflow.check()
    await inbox.put_definition(definition_row(definition))
    return await _make_current(inbox, namespace, definition, by)


async def _make_current(
    inbox: ReadingInbox, namespace: str, definition: WorkflowDefinition, by: str | None
) -> Deployment:
    for _ in range(_TRIES):
        done = await inbox.deployments(namespace, definition.id)
        last = done[-1] if done else None
        if last is not None and last.hash == definition.content_hash:
            number, previous = last.number, (done[-2].hash if len(done) > 1 else None)
        else:
            number, previous = (last.number if last else 0) + 1, (last.hash if last else None)
            await following(inbox, namespace, definition)  # refused before anything is stored
            row = DeploymentRow(namespace, definition.id, number, definition.content_hash, time.time(), by)
            if not await inbox.put_deployment(row):
                continue  # somebody else deployed at this moment: look again
        return Deployment(
            workflow=definition.id,
            hash=definition.content_hash,
            label=definition.version,
            number=number,
            changed=last is None or last.hash != definition.content_hash,
            previous=previous,
            followers=await follow(inbox, namespace, definition),
        )
    raise InvalidInput(f"workflow {definition.id!r} is being deployed by others again and again: try once more")


async def rollback(
    inbox: ReadingInbox, namespace: str, workflow: str, url: str, to: str | None, by: str | None
) -> Deployment:
    """Make the version before the current one current again, or that ``to`` names (hash or label). Raises ``NotFound``,
    ``InvalidInput``."""
    return await _make_current(inbox, namespace, await rollback_to(inbox, namespace, workflow, url, to), by)


async def rollback_to(
    inbox: ReadingInbox, namespace: str, workflow: str, url: str, to: str | None
) -> WorkflowDefinition:
    """The version that a rollback leads to."""
    known = await versions(inbox, namespace, workflow, url)
    done = await inbox.deployments(namespace, workflow)
    if not done:
        raise InvalidInput(f"workflow {workflow!r} was never deployed, so there is nothing to go back to")
    if to is not None:
        hash_ = the_version(known, to).hash
    else:
        before = [row.hash for row in done if row.hash != done[-1].hash]
        if not before:
            raise InvalidInput(
                f"workflow {workflow!r} has one version that was ever deployed ({done[-1].hash[:12]}): there is none before it. "
                "--to names any version that the store has"
            )
        hash_ = before[-1]
    row = await inbox.definition(hash_)
    if row is None:
        raise NotFound(f"the definition {hash_} is not in {shown(url)}: the store is damaged or incomplete")
    return WorkflowDefinition.from_json(row.body)
