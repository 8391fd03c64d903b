"""``AsyncWorkflowEngine``: what a program talks to, in asyncio. The sync engine is a door to this one (``door.py``)."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import itertools
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from raywf.client.aggregators import AsyncAggregator, start_aggregator
from raywf.client.bulk import BulkOfEngine
from raywf.client.caching import CacheOfEngine
from raywf.client.checks import check_deadline, check_priority, check_started, check_tags, checked_codec, id_taken
from raywf.client.collecting import bind_submit, collect, rule_of
from raywf.client.commands import Commands
from raywf.client.deploying import VersionsOfEngine
from raywf.client.events import EventsOfEngine
from raywf.client.fingerprints import fingerprint
from raywf.client.handle import AsyncExecutionHandle
from raywf.client.lane import Lane
from raywf.client.limits import LimitsOfEngine
from raywf.client.locate import Place, absolute, home_of, locate
from raywf.client.moves import MovesOfEngine
from raywf.client.nodes import NodesOfEngine
from raywf.client.reading import ExecutionSummary, Readings
from raywf.client.requests import Requests
from raywf.client.rerunning import RerunsOfEngine
from raywf.client.results import Results
from raywf.client.schedules import SchedulesOfEngine
from raywf.client.why import Explanation, cluster_facts, explain
from raywf.client.workers import WorkersOfEngine
from raywf.config import Settings, actor_count, shown
from raywf.core.collecting import StartRule
from raywf.core.ids import check_execution_id, shard_of
from raywf.definition.inputs import bind_input, bind_many
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import AlreadyExists, InvalidInput, NotConnected, StoreUnavailable
from raywf.journal.factory import make, open_inbox
from raywf.ports import DefinitionRow
from raywf.runtime import ray as adapter
from raywf.runtime.bundle import Bundle, current_bundle
from raywf.runtime.clock import SystemClock, SystemEntropy
from raywf.runtime.definitions import Definitions
from raywf.runtime.parts import SubmitRequest
from raywf.runtime.sending import by_value_blobs
from raywf.runtime.spec import ActorSpec, isolated_execution, lane_of
from raywf.sealing import Codec

log = logging.getLogger("raywf.client")
_CHUNK = 500


class AsyncWorkflowEngine(
    LimitsOfEngine,
    CacheOfEngine,
    SchedulesOfEngine,
    EventsOfEngine,
    MovesOfEngine,
    RerunsOfEngine,
    BulkOfEngine,
    VersionsOfEngine,
    NodesOfEngine,
    WorkersOfEngine,
):
    """An engine on a Ray. Made by ``connect_async``; belongs to the event loop it was opened on."""

    def __init__(
        self,
        address: str | None,
        store: str | None,
        namespace: str,
        pools: Sequence[Any],
        actors: int | str | None = None,
        codec: Codec | None = None,
    ) -> None:
        if pools:
            raise InvalidInput("provider pools are not part of this version: leave `pools` out")
        if not namespace or any(char in namespace for char in "/ \t\n"):
            raise InvalidInput(f"namespace {namespace!r} cannot be used: it needs a name without '/' and white space")
        if store is not None and (not isinstance(store, str) or not store):  # type: ignore[redundant-expr]
            raise InvalidInput(f"store={store!r} is not a store's URL, such as sqlite:///.raywf/raywf.db")
        self._address = address
        self._settings = Settings.from_env(os.environ, store)
        self._actors = self._settings.workflow_actors if actors is None else actor_count("actors", actors)
        self._codec = checked_codec(codec)
        self.namespace = namespace
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._requests = Requests(self._clock, self._entropy)
        self._definitions = Definitions()
        self._lanes: dict[str, Lane] = {}
        self._results = Results(self._lanes, self._readings, namespace, self._ended)
        self._place: Place | None = None
        self._supervisor: Any = None
        self._read: Readings | None = None
        self._command: Commands | None = None
        self._sent: dict[str, bytes] = {}
        self._prepared: set[str] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._aggregators: dict[str, Any] = {}
        self._bundle = current_bundle()
        self._closed = False
        self.store = self._settings.store

    # opening and closing

    async def open(self) -> AsyncWorkflowEngine:
        """Find or start the engine. Raises ``StoreUnavailable``."""
        self.store = absolute(self._settings.store)
        await make(self.store, self._codec)
        self._place = await locate(self._address, self.store, self.namespace, self._settings.lease_s)
        try:
            from raywf.actors.supervisor import NAME, SupervisorActor

            space = self._place.namespace
            self._supervisor = adapter.spawn(
                SupervisorActor,
                NAME,
                space,
                (self.store, self.namespace, space),
                max_restarts=-1,
                node_id=adapter.steady_node(home_of(self.store)),
                get_if_exists=True,
            )
            inbox = open_inbox(self.store, self._codec)
            self._read = Readings(self.store, self.namespace, inbox)
            self._command = Commands(self.store, self.namespace, self._read, inbox)
            for blob_key, blob in by_value_blobs():
                self._sent[blob_key] = blob
            await self._lane(None)
            await self._resume_isolated()
        except BaseException:
            await self._leave_ray()
            raise
        return self

    async def _lane(self, isolated: str | None) -> Lane:
        bundle = self._bundle
        name = lane_of(self.namespace, bundle.project, isolated)
        lane = self._lanes.get(name)
        if lane is not None:
            return lane
        assert self._place is not None
        spec = ActorSpec(
            url=self.store,
            namespace=self.namespace,
            lane=name,
            bundle=bundle,
            index=0,
            count=1 if isolated else self._actors,
            home=home_of(self.store),
            lease_s=self._settings.lease_s,
            ray_address=self._place.address,
            ray_namespace=self._place.namespace,
            only=shard_of(isolated) if isolated else None,
            driver=os.getpid() if self._place.private else None,
            codec=self._codec.to_text(),
        )
        lane = Lane(
            self._supervisor,
            spec,
            definitions=self._definition_rows,
            ended=self._results.ended,
            watched=self._results.watched,
            look=self._results.look,
            code=lambda: list(self._sent.values()),
            reach=adapter,
            entropy=self._entropy,
        )
        self._lanes[name] = lane
        try:
            await lane.open()
        except BaseException:
            del self._lanes[name]
            raise
        return lane

    async def _resume_isolated(self) -> None:
        """Start the actors of this project's isolated executions that are still open."""
        mine = lane_of(self.namespace, self._bundle.project)
        others = []
        for name in await self._readings().reader.open_lanes(self.namespace):
            if name.startswith(mine + "/"):
                await self._lane(isolated_execution(name))
            elif name != mine:
                others.append(name)
        if others:
            keeping = asyncio.get_running_loop().create_task(self._keep_others(others))
            self._leaving.add(keeping)
            keeping.add_done_callback(self._leaving.discard)

    async def _keep_others(self, lanes: Sequence[str]) -> None:
        """Have the open executions of other projects held, too: what needs none of their code goes on, and what does
        says so."""
        assert self._place is not None
        for name in lanes:
            isolated = isolated_execution(name)
            spec = ActorSpec(
                url=self.store,
                namespace=self.namespace,
                lane=name,
                bundle=Bundle((), "", name.split("/")[1]),
                index=0,
                count=1,
                home=home_of(self.store),
                lease_s=self._settings.lease_s,
                ray_address=self._place.address,
                ray_namespace=self._place.namespace,
                only=shard_of(isolated) if isolated else None,
                driver=os.getpid() if self._place.private else None,
                codec=self._codec.to_text(),
            )
            try:
                await self._supervisor.keep.remote(spec)
            except Exception as error:  # theirs, not ours: their own client will say what is wrong
                log.warning("the open executions of another project (%s) are held by nobody: %s", name, error)

    async def close(self) -> None:
        """Leave. With a private Ray, open executions are parked, and the next connect goes on with them."""
        if self._closed:
            return
        self._closed = True
        for lane in self._lanes.values():
            await lane.close()
        assert self._place is not None
        try:
            if self._place.private:
                await self._park()
            else:
                await self._say_what_goes_on()
        finally:
            self._results.wake_all()
            if self._read is not None:
                await self._read.close()
            await self._leave_ray()

    async def _park(self) -> None:
        try:
            parked = await asyncio.wait_for(asyncio.wrap_future(self._supervisor.park.remote().future()), 30)
        except (TimeoutError, *adapter.OutOfReach):
            parked = await self._read.reader.count_open(self.namespace) if self._read else 0
        if parked:
            noun = "execution is" if parked == 1 else "executions are"
            sys.stderr.write(
                f"raywf: {parked} {noun} still open and parked in {shown(self.store)}; the next connect goes on with "
                f"{'it' if parked == 1 else 'them'}\n"
            )

    async def _say_what_goes_on(self) -> None:
        """On a Ray that stays, open executions need no client."""
        assert self._place is not None
        with contextlib.suppress(StoreUnavailable):
            going_on = await self._read.reader.count_open(self.namespace) if self._read else 0
            if going_on:
                noun = "execution goes" if going_on == 1 else "executions go"
                sys.stderr.write(
                    f"raywf: {going_on} {noun} on without this client, in the Ray at {self._place.address}\n"
                )

    async def _leave_ray(self) -> None:
        if self._place is not None and self._place.ours:
            try:
                leaving = asyncio.get_running_loop().run_in_executor(None, adapter.shutdown)
            except RuntimeError:  # the interpreter ends: no thread starts any more, and nobody else is on this loop
                adapter.shutdown()
            else:
                await leaving

    async def __aenter__(self) -> AsyncWorkflowEngine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed or self._read is None:
            raise NotConnected("this engine is closed: call raywf.connect() again")

    def _readings(self) -> Readings:
        self._check_open()
        assert self._read is not None
        return self._read

    def _commands(self) -> Commands:
        self._check_open()
        assert self._command is not None
        return self._command

    # submitting

    async def submit(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition | str,
        /,
        *args: Any,
        execution_id: str | None = None,
        priority: int = 0,
        deadline: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        isolation: str = "shared",
        **kwargs: Any,
    ) -> AsyncExecutionHandle:
        """Start an execution; returns when it is on disk.

        A name means the version that is deployed. Larger ``priority`` first; ``deadline`` is an aware datetime or a
        timedelta. The same ``execution_id`` with the same workflow and arguments gives the same execution. Raises
        ``InvalidInput``, ``AlreadyExists``, ``DefinitionError``, ``StoreUnavailable``, and ``NotFound`` for a name.
        """
        self._check_open()
        workflow = as_workflow(wf if not isinstance(wf, str) else await self.definition(wf))
        rule = rule_of(workflow.definition) if "start" in workflow.configuration else None
        (request,) = self._requests(
            workflow,
            [bind_input(workflow, args, kwargs) if rule is None else bind_submit(workflow, rule, args, kwargs)],
            None if execution_id is None else [execution_id],
            check_priority(priority),
            check_deadline(deadline, self._clock.now()),
            check_tags(tags or {}),
        )
        if isolation not in ("shared", "process"):
            raise InvalidInput(f"isolation={isolation!r} is not known: it is 'shared' or 'process'")
        if rule is not None:
            return (await self._collect(workflow, rule, [request], isolation))[0]
        lane = await self._lane(request.id if isolation == "process" else None)
        return (await self._submit(lane, workflow, [request]))[0]

    async def submit_many(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        inputs: Iterable[Any],
        execution_ids: Sequence[str] | None = None,
    ) -> builtins.list[AsyncExecutionHandle]:
        """Start one execution per input, all checked before the first is stored. Returns when all are on disk.

        Raises ``InvalidInput`` with the ``index`` of the input that does not fit.
        """
        self._check_open()
        workflow = as_workflow(wf)
        given = list(inputs)
        if execution_ids is not None and len(execution_ids) != len(given):
            raise InvalidInput(f"{len(given)} inputs but {len(execution_ids)} execution_ids: give one id per input")
        if execution_ids is not None and len(set(execution_ids)) != len(execution_ids):
            twice = next(id_ for id_ in execution_ids if list(execution_ids).count(id_) > 1)
            raise InvalidInput(f"execution_id {twice!r} is given twice: ids are unique")
        rule = rule_of(workflow.definition) if "start" in workflow.configuration else None
        encoded = bind_many(workflow, given if rule is None or rule.kind != "batch" else [[each] for each in given])
        for index, execution_id in enumerate(execution_ids or ()):
            try:
                check_execution_id(execution_id)
            except InvalidInput as error:
                raise InvalidInput(str(error), index=index) from None
        lane = await self._lane(None)
        await self._prepare(lane, workflow)
        if execution_ids is not None:
            await self._refuse_taken(workflow, encoded, execution_ids)
        if rule is not None:
            return await self._collect(workflow, rule, self._requests(workflow, encoded, execution_ids), "shared")
        sending = []
        for start in range(0, len(encoded), _CHUNK):
            part = slice(start, start + _CHUNK)
            requests = self._requests(workflow, encoded[part], execution_ids and execution_ids[part])
            sending.append(asyncio.ensure_future(self._submit(lane, workflow, requests)))
            await asyncio.sleep(0)  # the engine works on these while the next are made
        return [handle for handles in await asyncio.gather(*sending) for handle in handles]

    async def run(self, wf: Workflow[..., Any] | WorkflowDefinition | str, /, *args: Any, **kwargs: Any) -> Any:
        """Submit and wait for the result."""
        return await (await self.submit(wf, *args, **kwargs)).result()

    async def map(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        inputs: Iterable[Any],
        max_in_flight: int = 1000,
        return_exceptions: bool = False,
    ) -> AsyncIterator[Any]:
        """The results of one execution per input, in order. Inputs are taken as results are, so they may be endless."""
        if max_in_flight < 1:
            raise InvalidInput(f"max_in_flight={max_in_flight!r} must be a whole number of at least 1")
        source = iter(inputs)
        flying: list[AsyncExecutionHandle] = []
        start, taken = 0, 0
        while True:
            room = max_in_flight - (len(flying) - start)
            if room >= min(100, max_in_flight):
                batch = list(itertools.islice(source, min(room, 500)))
                if batch:
                    try:
                        flying.extend(await self.submit_many(wf, batch))
                    except InvalidInput as error:
                        index = None if error.index is None else taken + error.index
                        raise InvalidInput(str(error), index=index) from None
                    taken += len(batch)
            if start == len(flying):
                return
            handle = flying[start]
            start += 1
            if start >= 1000:
                del flying[:start]
                start = 0
            try:
                yield await handle.result()
            except Exception as error:
                if not return_exceptions:
                    raise
                yield error

    async def get(self, execution_id: str) -> AsyncExecutionHandle:
        """The handle of an execution. Raises ``NotFound``."""
        await self._readings().row(execution_id)
        return AsyncExecutionHandle(self, execution_id)

    async def list(
        self,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        after: str | None = None,
        *,
        started_after: datetime | timedelta | None = None,
        started_before: datetime | timedelta | None = None,
    ) -> list[ExecutionSummary]:
        """Executions, newest first. ``after`` is the id of the last one of the page before. Instants are aware datetimes,
        or a timedelta: so long ago; those started from the one on and before the other."""
        now = self._clock.now()
        return await self._readings().list(
            status=status,
            workflow=workflow,
            tags=tags,
            started_after=check_started("started_after", started_after, now),
            started_before=check_started("started_before", started_before, now),
            limit=limit,
            after=after,
        )

    async def why(self, execution_id: str) -> Explanation:
        """What an execution waits for and who holds it, in words. Raises ``NotFound``."""
        row = await self._readings().row(execution_id)
        return await explain(self._readings(), execution_id, **await cluster_facts(self._supervisor, row.lane))

    async def _submit(
        self, lane: Lane, workflow: Workflow[..., Any], requests: Sequence[SubmitRequest]
    ) -> builtins.list[AsyncExecutionHandle]:
        await self._prepare(lane, workflow)
        handles = [AsyncExecutionHandle(self, request.id) for request in requests]
        for handle in handles:
            handle._waiting.lane = lane.spec.lane
        answers = await lane.submit(requests) if requests else []
        closed = []
        for request, (answer, detail) in zip(requests, answers, strict=True):
            if answer == "taken":
                raise AlreadyExists(id_taken(request.id, detail))
            if answer == "closed":
                closed.append(request.id)
        await self._results.look(closed)
        return handles

    async def _collect(
        self, workflow: Workflow[..., Any], rule: StartRule, requests: Sequence[SubmitRequest], isolation: str
    ) -> builtins.list[AsyncExecutionHandle]:
        """Submits of a workflow with a start rule: handles of the executions that they become part of."""
        if isolation != "shared":
            raise InvalidInput(f"isolation={isolation!r} does not go with a workflow that has start=: it is 'shared'")
        lane = await self._lane(None)
        handles = []
        for request in requests:
            handle = AsyncExecutionHandle(self, await collect(self, lane, workflow, rule, request))
            handle._waiting.lane = lane.spec.lane
            handles.append(handle)
        await self._results.look([handle.id for handle in handles])
        return handles

    async def _refuse_taken(
        self, workflow: Workflow[..., Any], inputs: Sequence[bytes], execution_ids: Sequence[str]
    ) -> None:
        """Raise ``AlreadyExists`` before anything of a batch is stored, when one of its ids belongs to something else."""
        existing = await self._readings().reader.existing(self.namespace, execution_ids)
        for index, (input_, id_) in enumerate(zip(inputs, execution_ids, strict=True)):
            row = existing.get(id_)
            if row is not None and row.fingerprint != fingerprint(workflow.definition, input_):
                raise AlreadyExists(f"input {index}: {id_taken(id_, f'{row.workflow} {row.version}')}")

    async def _prepare(self, lane: Lane, workflow: Workflow[..., Any]) -> None:
        """Before the first submit of a workflow: know its definition, and send what only this process can send."""
        hash_ = workflow.definition.content_hash
        if hash_ in self._prepared:
            return
        workflow.check()
        self._check_pools(workflow.definition)
        self._definitions.add_model(workflow.definition)
        for key, blob in by_value_blobs(workflow):
            if key not in self._sent:
                self._sent[key] = blob
                for each in list(self._lanes.values()):
                    await each.send_code(blob)
        self._prepared.add(hash_)

    def _definition_rows(self, hash_: str) -> builtins.list[DefinitionRow]:
        return [self._definitions.row(hash_)]

    def _ended(self, execution_id: str) -> None:
        if len(self._lanes) > 1:
            isolated = lane_of(self.namespace, self._bundle.project, execution_id)
            if isolated in self._lanes:  # its actor leaves too
                asyncio.get_running_loop().call_later(1.0, self._leave_lane, isolated)

    def _leave_lane(self, name: str) -> None:
        lane = self._lanes.pop(name, None)
        if lane is not None and not self._closed:
            leaving = asyncio.get_running_loop().create_task(lane.close())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    # aggregators

    def aggregator(self, name: str, *, strategy: str = "auto", accept_at: float = 0.7) -> AsyncAggregator:
        """The aggregator of that name: merges answers and learns how far to trust each source. Raises ``InvalidInput``."""
        self._check_open()
        return AsyncAggregator(self, name, strategy, accept_at, self._clock)

    def _aggregator_actor(self, name: str) -> Any:
        if name not in self._aggregators:
            assert self._place is not None
            self._aggregators[name] = start_aggregator(self._place, self.store, self.namespace, name, self._codec)
        return self._aggregators[name]

    def _forget_aggregator(self, name: str) -> None:
        self._aggregators.pop(name, None)

    async def _hold(self, lane: str) -> None:
        """Have an isolated execution of this project held again, whose actor left when it ended."""
        isolated = isolated_execution(lane)
        if isolated is not None and lane == lane_of(self.namespace, self._bundle.project, isolated):
            await self._lane(isolated)

    def _poke(self, execution_id: str) -> None:
        for lane in self._lanes.values():
            lane.poke(execution_id)


@asynccontextmanager
async def connect_async(
    address: str | None = None,
    store: str | None = None,
    namespace: str = "default",
    pools: Sequence[Any] = (),
    actors: int | str | None = None,
    codec: Codec | None = None,
) -> AsyncIterator[AsyncWorkflowEngine]:
    """``async with raywf.connect_async() as engine:`` - see ``connect``."""
    engine = AsyncWorkflowEngine(address, store, namespace, pools, actors, codec)
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()
