"""What an actor is told when it is started, as data that can be written into the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raywf.core.ids import SHARDS
from raywf.runtime.bundle import Bundle


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """One workflow actor: ``index`` of ``count`` in its lane. ``owner`` is unique to this start; so is the name.
    ``only``: the one shard of an isolated execution. ``driver``: the process that a private Ray ends with."""

    url: str
    namespace: str
    lane: str
    bundle: Bundle
    index: int
    count: int
    lease_s: float
    ray_address: str
    ray_namespace: str
    owner: str = ""
    name: str = ""
    only: int | None = None
    driver: int | None = None

    @property
    def shards(self) -> Sequence[int]:
        """The shards this actor wants."""
        return range(self.index, SHARDS, self.count) if self.only is None else [self.only]

    def incarnation(self, unique: str) -> ActorSpec:
        """The same actor, started once more."""
        lane = self.lane.replace("/", "-")
        name = f"workflow-{lane}-{self.index}-{unique}"
        return replace(self, owner=name, name=name)

    def to_json(self) -> bytes:
        data = {name: getattr(self, name) for name in self.__slots__ if name != "bundle"}
        bundle = {"roots": list(self.bundle.roots), "hash": self.bundle.hash, "project": self.bundle.project}
        return json.dumps({**data, "bundle": bundle}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> ActorSpec:
        data = json.loads(text)
        bundle = data.pop("bundle")
        return cls(**data, bundle=Bundle(tuple(bundle["roots"]), bundle["hash"], bundle["project"]))


def isolated_execution(lane: str) -> str | None:
    """The execution that a lane was made for; None for a project's shared lane."""
    parts = lane.split("/", 2)
    return parts[2] if len(parts) == 3 else None


def lane_of(namespace: str, project: str, isolated: str | None = None) -> str:
    """The lane of a project's executions: whose actors hold them. An isolated execution has a lane of its own."""
    return f"{namespace}/{project}" + (f"/{isolated}" if isolated else "")


def aggregator_lane(namespace: str, name: str) -> str:
    """The lane of an aggregator's evidence: whose actor writes it."""
    return f"{namespace}/@aggregator/{name}"


def is_aggregator(lane: str) -> bool:
    return lane.split("/")[1:2] == ["@aggregator"]
