"""What an actor is told when it is started, as data that can be written into the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from raywf.core.ids import SHARDS
from raywf.runtime.bundle import Bundle


class Layout(NamedTuple):
    """A lane as its clients see it: the names of its actors, and for each shard the place among them of who holds it."""

    names: list[str]
    routes: bytes


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """One workflow actor: ``index`` of ``count`` in its lane. ``owner`` is unique to this start; so is the name.
    ``count``: how many actors the lane has (``placement.PER_NODE``: one on each node; None: as many as it has, else what is
    usual for the store). ``only``: the one shard of an isolated execution. ``driver``: the process that a private Ray ends
    with. ``node``: where it lives, ``held``: the shards it holds; None: where Ray puts it, and every ``count``-th. ``home``: the host
    whose file the store is; None: it is a server's. ``codec``: how it writes values, as text that says where keys are
    and holds none."""

    url: str
    namespace: str
    lane: str
    bundle: Bundle
    index: int
    count: int | None
    lease_s: float
    ray_address: str
    ray_namespace: str
    owner: str = ""
    name: str = ""
    only: int | None = None
    driver: int | None = None
    node: str | None = None
    held: tuple[int, ...] | None = None
    home: str | None = None
    codec: str = ""

    @property
    def shards(self) -> Sequence[int]:
        """The shards this actor takes up."""
        if self.held is not None:
            return self.held
        return range(self.index, SHARDS, max(self.count or 1, 1)) if self.only is None else [self.only]

    @property
    def all_shards(self) -> Sequence[int]:
        """The shards of its whole lane."""
        return range(SHARDS) if self.only is None else [self.only]

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
        data["held"] = None if data.get("held") is None else tuple(data["held"])
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


def aggregator_spec(
    url: str, namespace: str, name: str, ray_address: str, ray_namespace: str, driver: int | None, codec: str
) -> ActorSpec:
    """The actor of an aggregator."""
    return ActorSpec(
        url=url,
        namespace=namespace,
        lane=aggregator_lane(namespace, name),
        bundle=Bundle((), "", "@aggregator"),
        index=0,
        count=1,
        lease_s=0.0,
        ray_address=ray_address,
        ray_namespace=ray_namespace,
        name=f"aggregator-{name}",
        only=0,
        driver=driver,
        codec=codec,
    )


def is_aggregator(lane: str) -> bool:
    return lane.split("/")[1:2] == ["@aggregator"]
