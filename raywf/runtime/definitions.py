"""The definitions an owner knows: by content hash, as rows for the store, as models, and as plans."""

from __future__ import annotations

from typing import Any

from raywf.core.plan import Node, Plan
from raywf.definition.compile import compile_plan
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.errors import NotFound
from raywf.ports import DefinitionRow, Reader


def definition_row(definition: WorkflowDefinition) -> DefinitionRow:
    return DefinitionRow(definition.content_hash, definition.id, str(definition.version), definition.body)


class Definitions:
    """Definitions by content hash. A definition brings those of its child workflows along."""

    def __init__(self) -> None:
        self._models: dict[str, WorkflowDefinition] = {}
        self._plans: dict[str, Plan] = {}
        self._rows: dict[str, DefinitionRow] = {}

    def __contains__(self, hash_: str) -> bool:
        return hash_ in self._rows

    def add(self, row: DefinitionRow) -> None:
        if row.hash not in self._rows:
            self.add_model(self._parsed(row.body), row)

    def add_model(self, model: WorkflowDefinition, row: DefinitionRow | None = None) -> str:
        """Know a definition and its children; returns its hash."""
        hash_ = model.content_hash if row is None else row.hash
        if hash_ not in self._rows:
            self._models[hash_] = model
            self._rows[hash_] = row or definition_row(model)
            for task in model.tasks:
                if task.workflow is not None:
                    self.add_model(task.workflow)
        return hash_

    def row(self, hash_: str) -> DefinitionRow:
        return self._rows[hash_]

    def model(self, hash_: str) -> WorkflowDefinition:
        return self._models[hash_]

    def plan(self, hash_: str) -> Plan:
        found = self._plans.get(hash_)
        if found is None:
            found = self._plans[hash_] = self._compiled(hash_)
        return found

    def _parsed(self, body: bytes) -> WorkflowDefinition:
        return WorkflowDefinition.from_json(body)

    def _compiled(self, hash_: str) -> Plan:
        return compile_plan(self._models[hash_])

    async def load(self, reader: Reader, hash_: str) -> None:
        """Fetch a definition from the store, unless it is known. Raises ``NotFound``."""
        if hash_ in self._rows:
            return
        row = await reader.definition(hash_)
        if row is None:
            raise NotFound(f"the definition {hash_} is not in the store: its execution cannot go on")
        self.add(row)

    def child_input(self, node: Node, args: list[Any], kwargs: dict[str, Any]) -> tuple[DefinitionRow, bytes]:
        """The definition and encoded input of a child workflow called with these arguments."""
        assert node.child is not None
        return self._rows[node.child], bind_input(self._models[node.child], args, kwargs)
