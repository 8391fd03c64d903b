"""What an engine offers about versions: which there are, what a deployment would do, and doing it. Rows and commands, no Ray."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from raywf.client import migrating
from raywf.client import versions as of
from raywf.client.migrating import DeploymentPlan, MigrationResult, wishes
from raywf.client.of_engine import OfEngine
from raywf.client.versions import Deployment, Version
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import InvalidInput
from raywf.runtime.definitions import definition_row

Target = Workflow[..., Any] | WorkflowDefinition | str


def name_of(workflow: Target) -> str:
    """The id under which a workflow's versions are kept."""
    return workflow if isinstance(workflow, str) else as_workflow(workflow).definition.id


class VersionsOfEngine(OfEngine):
    """What an engine offers about the versions of workflows."""

    async def versions(self, workflow: Target) -> list[Version]:
        """Every version of a workflow that the store has seen, in that order; which one is current, and how many open executions
        go on under each. Raises ``NotFound``."""
        return await of.versions(self._readings().reader, self.namespace, name_of(workflow), self.store)

    async def definition(self, workflow: Target, version: str | None = None) -> WorkflowDefinition:
        """A stored version: by hash (four characters or more) or label; None: the current one. Raises ``NotFound``."""
        readings, name = self._readings(), name_of(workflow)
        if version is None:
            return await of.current_definition(readings.reader, self.namespace, name, self.store)
        known = await of.versions(readings.reader, self.namespace, name, self.store)
        return await readings.definition(of.the_version(known, version).hash)

    async def deploy(self, workflow: Workflow[..., Any] | WorkflowDefinition, *, by: str | None = None) -> Deployment:
        """Store a version and make it the current one: executions started by name get it, and so do schedules and triggers made with
        ``follow=True``. Open executions keep theirs. Twice is once. Raises ``InvalidInput`` where what follows does not fit."""
        return await of.deploy(self._commands().inbox, self.namespace, workflow, by)

    async def rollback(self, workflow: Target, *, to: str | None = None, by: str | None = None) -> Deployment:
        """Make the version before the current one (or ``to``, a hash or a label) current again. Raises ``NotFound``,
        ``InvalidInput``."""
        return await of.rollback(self._commands().inbox, self.namespace, name_of(workflow), self.store, to, by)

    async def plan(
        self,
        workflow: Target,
        *,
        ids: Collection[str] | None = None,
        rerun: Collection[str] = (),
        keep: Collection[str] = (),
        drop: Collection[str] = (),
        limit: int = 1000,
    ) -> DeploymentPlan:
        """What would become of open executions under this version: for each task whether its result is kept, it runs again, or it
        blocks, and why. Changes nothing. A name means the current version. Raises ``DefinitionError`` and ``InvalidInput`` for a
        migration, and for names of tasks, that do not fit."""
        target, asked = await self._target(workflow), wishes(rerun, keep, drop)
        now = await of.current(self._readings().reader, self.namespace, target.definition.id)
        return await migrating.deployment_plan(self._readings(), target, now, asked, ids, limit)

    async def migrate(
        self,
        workflow: Target,
        *,
        ids: Collection[str] | None = None,
        rerun: Collection[str] = (),
        keep: Collection[str] = (),
        drop: Collection[str] = (),
        by: str | None = None,
        timeout: float = 10.0,
    ) -> MigrationResult:
        """Let open executions (all, or those with ``ids``) go on under this version, where their plan does not block. Each is moved
        at once, between two of its turns, when what runs of it has ended; nothing new of it starts meanwhile. Waits up to
        ``timeout`` seconds; what is ``waiting`` then is on its way. Twice is once."""
        if not timeout >= 0:
            raise InvalidInput(f"timeout={timeout!r} is a number of seconds from 0")
        commands, target = self._commands(), await self._target(workflow)
        asked = wishes(rerun, keep, drop)
        await commands.inbox.put_definition(definition_row(target.definition))
        for id_ in ids or ():
            self._poke(id_)
        return await migrating.migrate(commands, target, asked, ids, by, timeout)

    async def _target(self, workflow: Target) -> Workflow[..., Any]:
        return as_workflow(await self.definition(workflow) if isinstance(workflow, str) else workflow)
