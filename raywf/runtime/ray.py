"""The adapter to Ray: the only file of this room that imports it.

Every call to Ray that raywf makes outside of its actors is here, with the options that make it behave: no retries of
Ray's own, an explicit address or "local" always, our namespace, no usage reports.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.experimental.internal_kv import internal_kv_get_gcs_client
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raywf.core.plan import TaskOptions
from raywf.errors import NotConnected, StoreUnavailable
from raywf.runtime.balance import NodeRow
from raywf.runtime.chunks import WorkerDied
from raywf.runtime.spool import Progress, read_spool
from raywf.runtime.worker import Chunk

log = logging.getLogger("raywf.ray")

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What a Ray that raywf starts runs with, unless the environment says otherwise."""

HEAD = "node:__internal_head__"
"""What only the head of a Ray cluster has, whichever node that is now."""

ActorDied = (RayActorError,)
OutOfReach = (RayError,)
GetTimeout = GetTimeoutError


def is_initialized() -> bool:
    return bool(ray.is_initialized())


def current_address() -> str:
    """The address of the Ray that this process is connected to."""
    return str(ray.get_runtime_context().gcs_address)


def _prepare() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)


def start_private(namespace: str, num_cpus: int | None = None) -> str:
    """Start a small Ray that lives as long as this process; returns its address."""
    _prepare()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    _loopback_only(True)
    options: dict[str, Any] = {
        "address": "local",
        "num_cpus": num_cpus or max(2, os.cpu_count() or 2),
        "include_dashboard": False,
        "log_to_driver": os.environ.get("RAYWF_RAY_LOGS") == "1",
        "logging_level": logging.ERROR,
        "object_store_memory": 256 * 2**20,
        "namespace": namespace,
        "configure_logging": False,
    }
    if len(tempfile.gettempdir()) > 20:
        options["_temp_dir"] = "/tmp/ray"
    try:
        ray.init(**options)
    except Exception as first:  # on a busy machine a raylet may give up on its agent; Ray's own advice is to try again
        log.warning("Ray did not start (%s); trying once more", first)
        ray.shutdown()  # not our own shutdown: what was prepared still holds
        ray.init(**options)
    return current_address()


def join(address: str, namespace: str) -> str:
    """Connect this process to a Ray that runs. Raises ``StoreUnavailable`` when nothing answers there."""
    _prepare()
    if not os.environ.get("RAY_AUTH_MODE"):
        os.environ["RAY_AUTH_MODE"] = "token" if _has_token() else "disabled"
    if _listens_here_only(address):
        _loopback_only(True)
    try:
        ray.init(
            address=address,
            namespace=namespace,
            log_to_driver=os.environ.get("RAYWF_RAY_LOGS") == "1",
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except Exception as error:
        raise StoreUnavailable(
            f"no Ray answers at {address!r} ({type(error).__name__}: {error}): start one with `raywf up`, "
            "or correct the address (the argument, or RAY_ADDRESS)"
        ) from error
    return current_address()


def _listens_here_only(address: str) -> bool:
    """Whether the Ray at 127.0.0.1 (a private one, or that of ``raywf up``) cannot be reached at this machine's address
    in the network, which is what Ray takes 127.0.0.1 for on Linux."""
    from ray._private import services

    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        return False
    outside = services.get_node_ip_address()
    return outside != "127.0.0.1" and not answers(f"{outside}:{port}", timeout_s=0.5)


def _has_token() -> bool:
    return bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))


_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""What an HTTP/2 client says first: the preface and empty settings (RFC 9113, 3.4). Ray's servers speak gRPC, which is that."""


def answers(address: str, timeout_s: float = 2.0) -> bool:
    """Whether a Ray is alive at ``host:port``: it returns a greeting. To be connected says little: the system does that for
    a process that is stopped, too, and who then asked Ray would hang for minutes."""
    import socket

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s) as greeted:
            greeted.sendall(_GREETING)
            return bool(greeted.recv(1))
    except (OSError, ValueError):
        return False


def shutdown() -> None:
    ray.shutdown()
    _loopback_only(False)


_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def _loopback_only(on: bool) -> None:
    """Have a Ray that starts from here listen to this machine only. Ray has no public switch for that on Linux: it is
    what it does where clusters are off (macOS, Windows), by this variable and the constant read from it at import."""
    global _was_cluster
    from ray._private import ray_constants

    if on:
        _was_cluster = getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
        os.environ[_LOOPBACK] = "0"
        ray_constants.ENABLE_RAY_CLUSTER = False
    elif os.environ.get(_LOOPBACK) == "0" and _was_cluster:
        del os.environ[_LOOPBACK]
        ray_constants.ENABLE_RAY_CLUSTER = True


_was_cluster = False


class Disconnected(RayError):  # type: ignore[misc]  # Ray has no types here
    """This process has left the Ray that the actor is on."""

    def __init__(self) -> None:
        self.cause = NotConnected(
            "this process is not connected to the engine's Ray any more: ray.shutdown() was called, or another Ray was joined "
            "since. Nothing that was accepted is lost: connect again to go on."
        )
        super().__init__(str(self.cause))


class Handle:
    """An actor's handle that only ever calls the actor. Ray's own starts or joins whatever Ray it finds when this process is
    connected to none, and it is called from the background here, after a program has called ``ray.shutdown()``, too."""

    __slots__ = ("actor",)

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> _Method:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Method(getattr(self.actor, name))


class _Method:
    __slots__ = ("_method",)

    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        if not ray.is_initialized():
            raise Disconnected
        try:
            return self._method.remote(*args, **kwargs)
        except RayError:
            raise
        except Exception as error:
            if "Can't find actor" in str(error):  # it is on the Ray that this process was connected to before
                raise Disconnected from error
            raise


def find_actor(name: str, namespace: str) -> Any:
    """The handle of a named actor; None when there is none."""
    if not ray.is_initialized():
        raise Disconnected
    try:
        return Handle(ray.get_actor(name, namespace=namespace))
    except ValueError:
        return None


def named_actors(namespace: str, prefix: str) -> list[str]:
    """The names of the actors of a namespace that begin so."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return [each["name"] for each in found if each["namespace"] == namespace and each["name"].startswith(prefix)]


def spawn(
    cls: type,
    name: str,
    namespace: str,
    args: tuple[Any, ...],
    *,
    max_restarts: int,
    node_id: str | None = None,
    get_if_exists: bool = False,
) -> Any:
    """Start a detached async actor, where a node (or ``HEAD``) is given there or nowhere. It takes no CPU from the
    cluster: it waits, it does not compute. Such an actor Ray puts on any node at random, and a soft wish does not count."""
    options: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": max_restarts,
        "max_task_retries": 0,
        "max_concurrency": 10_000,
        "enable_task_events": False,
        "get_if_exists": get_if_exists,
    }
    if node_id == HEAD:
        options["resources"] = {HEAD: 0.001}
    elif node_id:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return Handle(ray.remote(cls).options(**options).remote(*args))


def spawn_worker(cls: type, args: tuple[Any, ...], demand: Mapping[str, float]) -> Any:
    """Start an actor with resources of its own, as a child of this one: Ray ends it when this one ends, however that is. It
    waits for a place for as long as there is none."""
    own = {name: amount for name, amount in demand.items() if name not in ("CPU", "GPU", "memory")}
    options: dict[str, Any] = {
        "num_cpus": demand.get("CPU", 0.0),
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": 1000,
        "enable_task_events": False,
    }
    if demand.get("GPU"):
        options["num_gpus"] = demand["GPU"]
    if demand.get("memory"):
        options["memory"] = demand["memory"]
    if own:
        options["resources"] = own
    return ray.remote(cls).options(**options).remote(*args)


def here() -> tuple[int, str]:
    """This process and the node it is on."""
    return os.getpid(), this_node()


def kill(actor: Any) -> None:
    ray.kill(actor.actor if isinstance(actor, Handle) else actor, no_restart=True)


def end_this_actor() -> None:
    """End the actor that this process is, for good."""
    ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def alive_nodes() -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def cluster_nodes() -> list[NodeRow]:
    """The live nodes, and which of them Ray has been told to drain."""
    rows = [node for node in ray.nodes() if node["Alive"]]
    leaving = _leaving() if len(rows) > 1 else {}
    return [
        NodeRow(
            id=row["NodeID"],
            host=row["NodeManagerHostname"],
            address=row["NodeManagerAddress"],
            cpus=float(row["Resources"].get("CPU", 0.0)),
            head=HEAD in row["Resources"],
            leaves_at=leaving.get(row["NodeID"]),
        )
        for row in rows
    ]


def drain_node(node: str, until: float) -> None:
    """Have Ray start nothing on a node any more, because it will be ended at ``until`` (epoch seconds). Once nothing runs on
    it, its raylet ends by itself. Raises ``StoreUnavailable`` where Ray refuses."""
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = internal_kv_get_gcs_client().drain_node(node, reason, "raywf drain", int(until * 1000))
    if not accepted:
        raise StoreUnavailable(f"Ray does not drain node {node[:12]}: {why}")


def request_bundles(bundles: Sequence[dict[str, float]]) -> None:
    """Ask the autoscaler for a cluster that has room for these at once, until something else is asked for. One request
    holds for the whole cluster: the last."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=list(bundles))


def _leaving() -> dict[str, float]:
    """When draining nodes end (epoch seconds; infinite: nobody has said). Ray tells in ms, 0 for no end."""
    draining = internal_kv_get_gcs_client().get_draining_nodes()
    return {node: ends_ms / 1000 if ends_ms > 0 else float("inf") for node, ends_ms in draining.items()}


def node_resources() -> list[dict[str, float]]:
    """What each live node has in all, by resource."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def this_node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def steady_node(home: str | None) -> str:
    """Where the one who looks after the others should be: on the head, because without it there is no cluster. On any other node
    it would die with those whom it is to replace, and Ray takes up to a minute to see that a node has died. ``home``: the
    only host where it can be."""
    return HEAD if any(row.head and home in (None, row.host) for row in cluster_nodes()) else this_node()


def job_environment() -> Mapping[str, Any]:
    return dict(ray.get_runtime_context().runtime_env or {})


# Ray pickles a remote function by value when its module holds only the remote one: shims that import inside stay small.


def _run_chunk(chunk: Chunk, sent: bytes | None, *hot: bytes) -> Any:
    from raywf.runtime.ray import tell
    from raywf.runtime.worker import run_chunk

    return run_chunk(chunk, sent, hot, tell)


def _read_notes(path: Path) -> Any:
    from raywf.runtime.spool import read_spool

    return read_spool(path)


_listeners: dict[tuple[str, str], Any] = {}


def tell(listener: tuple[str, str], words: tuple[Any, ...]) -> bool:
    """Tell the actor that owns an attempt what the attempt says; ``speaking.Tell`` inside a Ray worker."""
    actor = _listeners.get(listener)
    if actor is None:
        _listeners.clear()
        actor = _listeners[listener] = ray.get_actor(listener[0], namespace=listener[1])
    return bool(ray.get(actor.hear.remote(*words), timeout=10))


class RayTransport:
    """``chunks.Transport`` over Ray tasks, for use inside a workflow actor."""

    def __init__(self) -> None:
        self._run = ray.remote(_run_chunk)
        self._read = ray.remote(_read_notes)
        self._cpus = 0.0
        self._asked_at = 0.0
        self._options: dict[TaskOptions, Any] = {}
        self._gone: dict[str, float] = {}
        """Nodes that have died, and when that was first seen."""

    def cpus(self) -> float:
        """CPUs in the cluster, asked at most every 5 seconds."""
        now = time.monotonic()
        if not self._cpus or now - self._asked_at > 5:
            self._cpus = float(ray.cluster_resources().get("CPU", 1.0)) or 1.0
            self._asked_at = now
            self._see_who_is_gone()
        return self._cpus

    def _see_who_is_gone(self) -> None:
        now = time.monotonic()
        for node in ray.nodes():
            if not node["Alive"]:
                self._gone.setdefault(node["NodeID"], now)

    def nodes(self) -> list[dict[str, float]]:
        return node_resources()

    def put(self, data: bytes) -> Any:
        return ray.put(data)

    def send(self, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> Any:
        remote = self._options.get(options)
        if remote is None:
            remote = self._options[options] = self._run.options(**_ray_options(options))
        return remote.remote(chunk, sent, *hot)

    async def result(self, ref: Any) -> tuple[float, list[Any]]:
        try:
            seconds, outcomes = await ref
        except (WorkerCrashedError, NodeDiedError, OutOfMemoryError, TaskCancelledError) as error:
            raise WorkerDied(_in_a_line(error)) from None
        except RayTaskError as error:
            raise WorkerDied(f"the call itself failed: {error}") from error
        except RayError as error:
            raise WorkerDied(_in_a_line(error)) from None
        return seconds, outcomes

    async def notes(self, path: Path, sent_at: float) -> Progress | None:
        found = read_spool(path)
        if found is not None:
            return found
        here, silent = this_node(), False
        for node in alive_nodes():
            if node != here:
                strategy = NodeAffinitySchedulingStrategy(node, soft=False)
                ref = self._read.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(path)
                try:
                    found = await asyncio.wait_for(asyncio.wrap_future(ref.future()), 10)
                except (RayError, TimeoutError):
                    silent = True
                    continue
                if found is not None:
                    return found
        self._see_who_is_gone()
        if silent or any(seen >= sent_at for seen in self._gone.values()):
            return None
        return Progress()  # a worker makes its notes before it begins: this one had not begun

    def cancel(self, ref: Any) -> None:
        ray.cancel(ref, force=True)


def _in_a_line(error: BaseException) -> str:
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


def _ray_options(options: TaskOptions) -> dict[str, Any]:
    out: dict[str, Any] = {
        "max_retries": 0,
        "retry_exceptions": False,
        "enable_task_events": False,
        "num_cpus": 1 if options.num_cpus is None else options.num_cpus,
        "scheduling_strategy": "SPREAD" if len(alive_nodes()) > 1 else "DEFAULT",
    }
    if options.num_gpus is not None:
        out["num_gpus"] = options.num_gpus
    if options.memory is not None:
        out["memory"] = options.memory
    if options.resources:
        out["resources"] = dict(options.resources)
    return out
