"""``SupervisorActor``: keeps workflow actors alive. A shell around ``runtime.supervision.Supervisor``."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

from raywf.actors.workflow import WorkflowActor
from raywf.config import Settings
from raywf.journal.factory import open_reader
from raywf.runtime import ray as adapter
from raywf.runtime.balance import NodeRow
from raywf.runtime.clock import SystemClock, SystemEntropy
from raywf.runtime.spec import ActorSpec
from raywf.runtime.supervision import Supervisor
from raywf.sealing import Codec

NAME = "supervisor"


class RayActors:
    """``supervision.Actors`` in one namespace of Ray."""

    died: tuple[type[BaseException], ...] = adapter.ActorDied

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def spawn(self, spec: ActorSpec) -> Any:
        return adapter.spawn(WorkflowActor, spec.name, self._namespace, (spec,), max_restarts=0, node_id=spec.node)

    def kill(self, handle: Any) -> None:
        adapter.kill(handle)

    def find(self, name: str) -> Any:
        return adapter.find_actor(name, self._namespace)

    def named(self, prefix: str) -> Sequence[str]:
        return adapter.named_actors(self._namespace, prefix)

    def address(self) -> str:
        return adapter.current_address()

    def end(self) -> None:
        adapter.end_this_actor()

    def nodes(self) -> Sequence[NodeRow]:
        return adapter.cluster_nodes()

    def drain(self, node: str, until: float) -> None:
        adapter.drain_node(node, until)

    def request(self, bundles: Sequence[dict[str, float]]) -> None:
        adapter.request_bundles(bundles)


class SupervisorActor(Supervisor):
    """One per store and namespace: detached, ``max_restarts=-1``. Ray makes it on the actor's own loop."""

    def __init__(self, url: str, namespace: str, ray_namespace: str) -> None:
        settings = Settings.from_env(os.environ, url)
        super().__init__(
            namespace,
            ray_namespace,
            actors=RayActors(ray_namespace),
            open_reader=functools.partial(open_reader, url, Codec()),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            linger_s=settings.linger_s,
            autoscale=settings.autoscale,
        )
