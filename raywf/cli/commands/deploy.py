"""Commands about versions of workflows: what a deployment would do, doing it, going back. No engine, no Ray."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer
from typer.models import OptionInfo

from raywf.cli.options import AsJson, By, Namespace, Store
from raywf.cli.place import Place, actor_name, place_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from raywf.client.commands import Commands
    from raywf.client.migrating import DeploymentPlan, MigrationResult, Wishes
    from raywf.client.versions import Deployment, Version
    from raywf.definition.model import WorkflowDefinition

T = TypeVar("T")


class _Asked(NamedTuple):
    """Which open executions, and what of their tasks."""

    ids: list[str] | None
    rerun: list[str]
    keep: list[str]
    drop: list[str]

    @property
    def wishes(self) -> Wishes:
        from raywf.client.migrating import wishes

        return wishes(self.rerun, self.keep, self.drop)


_MANY = "Which executions, and how"


_Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="The workflow: MODULE:NAME, path/to/file.py:NAME, or a .json or .yaml definition; with --rollback its name.",
        show_default=False,
    ),
]


def _several(name: str, metavar: str, text: str) -> OptionInfo:
    found: OptionInfo = typer.Option(name, metavar=metavar, help=text, rich_help_panel=_MANY, show_default=False)
    return found


_Ids = Annotated[list[str] | None, _several("--id", "ID", "Only these; may be given more than once.")]
_Rerun = Annotated[list[str] | None, _several("--rerun", "TASK", "Its result does not count.")]
_Keep = Annotated[list[str] | None, _several("--keep", "TASK", "Its result counts, though its call has changed.")]
_Drop = Annotated[list[str] | None, _several("--drop", "TASK", "It is gone, and may be forgotten.")]
_Timeout = Annotated[
    float, typer.Option("--timeout", metavar="S", help="Wait this long for engines.", rich_help_panel=_MANY)
]


def deploy(
    target: _Target,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would become of each open execution. Nothing changes.")
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Let open executions go on under it, where nothing blocks.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Make the version before current again.")] = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Roll back to this hash or label.", show_default=False)
    ] = None,
    id: _Ids = None,
    rerun: _Rerun = None,
    keep: _Keep = None,
    drop: _Drop = None,
    timeout: _Timeout = 10.0,
    by: By = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Make a version of a workflow current, for executions that are started by name; open ones keep theirs.

    --plan first: for each open execution which results are kept, which tasks run again and which block, and why. --migrate moves those
    that nothing blocks. Exit 5 where some stay as they are.
    """
    from raywf.errors import InvalidInput

    place = place_of(store, namespace)
    asked = _Asked(id, rerun or [], keep or [], drop or [])
    if to is not None and not rollback:
        raise InvalidInput(
            "--to says which version --rollback goes back to: `raywf deploy NAME --rollback --to VERSION`"
        )
    if plan and migrate:
        raise InvalidInput("--plan changes nothing and --migrate does: give one of them")
    if not (plan or migrate) and any(asked):
        raise InvalidInput(
            "--id, --rerun, --keep and --drop are about open executions: give --plan or --migrate with them"
        )
    if rollback and plan:
        _planned(place, *_rollback_plan(place, target, to, asked), as_json)
    elif plan:
        _planned(place, *_plan(place, target, asked), as_json)
    else:
        _deployed(place, target, rollback, to, migrate, asked, timeout, actor_name(by), as_json)


def _with(place: Place, work: Callable[[Commands], Awaitable[T]]) -> T:
    from raywf.cli.sending import with_commands

    return with_commands(place, work)


def _plan(place: Place, target: str, asked: _Asked) -> tuple[DeploymentPlan, str]:
    from raywf.cli.targets import load
    from raywf.client import versions as of
    from raywf.client.migrating import deployment_plan

    workflow = load(target)
    wished = asked.wishes

    async def work(commands: Commands) -> DeploymentPlan:
        now = await of.current(commands.readings.reader, place.namespace, workflow.definition.id)
        return await deployment_plan(commands.readings, workflow, now, wished, asked.ids, 1000)

    return _with(place, work), target


def _rollback_plan(place: Place, name: str, to: str | None, asked: _Asked) -> tuple[DeploymentPlan, str]:
    from raywf.cli.targets import import_from_here
    from raywf.client import versions as of
    from raywf.client.migrating import deployment_plan
    from raywf.definition.workflows import as_workflow

    wished = asked.wishes
    import_from_here()

    async def work(commands: Commands) -> DeploymentPlan:
        inbox = commands.inbox
        definition = await of.rollback_to(inbox, place.namespace, name, place.store, to)
        now = await of.current(inbox, place.namespace, name)
        return await deployment_plan(commands.readings, as_workflow(definition), now, wished, asked.ids, 1000)

    return _with(place, work), name


def _deployed(
    place: Place,
    target: str,
    rollback: bool,
    to: str | None,
    migrates: bool,
    asked: _Asked,
    timeout: float,
    by: str,
    as_json: bool,
) -> None:
    from raywf.cli.exits import ExitCode
    from raywf.cli.output import write_json
    from raywf.cli.targets import import_from_here, load
    from raywf.client import versions as of
    from raywf.client.migrating import migrate
    from raywf.definition.workflows import as_workflow

    if rollback:
        import_from_here()
    workflow = None if rollback else load(target)
    wished = asked.wishes

    async def work(commands: Commands) -> tuple[Deployment, MigrationResult | None]:
        inbox, here = commands.inbox, place.namespace
        if workflow is None:
            done = await of.rollback(inbox, here, target, place.store, to, by)
        else:
            done = await of.deploy(inbox, here, workflow, by)
        if not migrates:
            return done, None
        then = workflow or as_workflow(await of.current_definition(inbox, here, done.workflow, place.store))
        return done, await migrate(commands, then, wished, asked.ids, by, timeout)

    done, moved = _with(place, work)
    if as_json:
        write_json({"deployment": done, "migration": moved})
    else:
        _say_deployed(place, target, done, moved, rollback)
    if moved is not None and (moved.refused or moved.waiting):
        raise typer.Exit(ExitCode.WAITING)


def _say_deployed(place: Place, target: str, done: Deployment, moved: MigrationResult | None, rollback: bool) -> None:
    from raywf.cli.output import note, say

    what = f"{done.workflow} version {done.label} ({done.hash[:12]})"
    was = f", before it was {done.previous[:12]}" if done.previous and done.changed else ""
    say(f"{what} is current{was}" if done.changed else f"{what} is current already")
    if done.followers:
        say(f"it is what these start from now on: {', '.join(done.followers)}")
    if moved is None:
        words = ("deploy", target, "--rollback", "--to", done.hash[:12]) if rollback else ("deploy", target)
        note(f"open executions keep the version they have; see {place.command(*words, '--plan')}")
        return
    say(f"{_executions(len(moved.migrated))} under it")
    for id_, why in moved.refused.items():
        say(f"{id_} stays as it is: {why}")
    if moved.waiting:
        shown = ", ".join(moved.waiting[:5]) + (", …" if len(moved.waiting) > 5 else "")
        say(f"{_executions(len(moved.waiting))} asked, for an engine to take up, or for what runs to end: {shown}")


def _executions(count: int) -> str:
    return f"{count:,} {'execution' if count == 1 else 'executions'}"


def _planned(place: Place, found: DeploymentPlan, target: str, as_json: bool) -> None:
    from raywf.cli.exits import ExitCode
    from raywf.cli.output import show_on, stdout_console, write_json

    if as_json:
        write_json(found.model_dump(mode="json") | {"blocked": found.blocked})
    else:
        from rich.console import Group

        console = stdout_console()
        show_on(console, Group(*_plan_page(found)))
        _say_next(place, found, target)
    if found.blocked:
        raise typer.Exit(ExitCode.WAITING)


def _plan_page(found: DeploymentPlan) -> list[RenderableType]:
    from rich.text import Text

    from raywf.cli.tables import plain_table

    page: list[RenderableType] = [Text(f"{found.workflow} version {found.label} ({found.version[:12]})")]
    if found.current is None:
        page.append(Text("no version is deployed yet"))
    elif found.current == found.version:
        page.append(Text("it is current already"))
    else:
        page.append(Text(f"against the current {found.current[:12]}:"))
        page += [Text(f"  {line}") for line in found.changes or ["the same but for its label"]]
    for each in found.executions:
        page.append(Text(f"\n{each.id}  {each.status}, version {each.label} ({each.version[:12]})"))
        table = plain_table()
        for head in ("TASK", "STATUS", "VERDICT"):
            table.add_column(head, no_wrap=True)
        table.add_column("WHY", overflow="fold")
        for task in each.tasks:
            name = task.task if task.was in (None, task.task) else f"{task.task} (was {task.was})"
            table.add_row(Text(f"  {name}"), task.status or "", task.verdict, Text(task.reason))
        page.append(table)
        own = {f"{task.task}: {task.reason}" for task in each.tasks}
        page += [Text(f"  blocks: {why}") for why in each.blocks if why not in own]
        page += [Text(f"  note: {said}") for said in each.notes]
    return page


def _say_next(place: Place, found: DeploymentPlan, target: str) -> None:
    from raywf.cli.output import note, say

    say("")
    behind = len(found.executions) - len(found.blocked)
    say(
        f"{_executions(behind)} can be migrated, {len(found.blocked):,} blocked, {found.up_to_date:,} under it already"
        + (f"; {found.more:,} more were not looked at" if found.more else "")
    )
    note(found.covers, f"nothing was changed; {place.command('deploy', target, '--migrate')} does it")


def versions(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)],
    show: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="VERSION",
            help="Print this version (a hash or a label) as YAML, or --json.",
            show_default=False,
        ),
    ] = None,
    diff: Annotated[
        str | None,
        typer.Option(
            "--diff",
            metavar="A..B",
            help="What is different between two; B alone: against the current.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List the versions of a workflow, which is current, and how many open executions are under each."""
    from raywf.cli.output import show_on, stdout_console, write_json, write_text

    place = place_of(store, namespace)
    if show is not None:
        definition = _with(place, lambda commands: _stored(commands, place, name, show))
        write_text(definition.to_json() if as_json else definition.to_yaml())
    elif diff is not None:
        _diff(place, name, diff, as_json)
    else:
        found = _with(place, lambda commands: _versions(commands, place, name))
        if as_json:
            write_json(found)
        else:
            show_on(stdout_console(), _versions_table(found))


async def _versions(commands: Commands, place: Place, name: str) -> list[Version]:
    from raywf.client import versions as of

    return await of.versions(commands.inbox, place.namespace, name, place.store)


async def _stored(commands: Commands, place: Place, name: str, version: str) -> WorkflowDefinition:
    from raywf.client import versions as of

    known = await _versions(commands, place, name)
    return await commands.readings.definition(of.the_version(known, version).hash)


def _diff(place: Place, name: str, diff: str, as_json: bool) -> None:
    from raywf.cli.output import say, write_json, write_text
    from raywf.client import versions as of
    from raywf.definition.changes import changes, graph_diff
    from raywf.errors import InvalidInput

    before, dots, after = diff.partition("..")

    async def work(commands: Commands) -> tuple[WorkflowDefinition, WorkflowDefinition]:
        if dots:
            return await _stored(commands, place, name, before), await _stored(commands, place, name, after)
        now = await of.current(commands.inbox, place.namespace, name)
        if now is None:
            raise InvalidInput(f"no version of {name!r} is current: write --diff A..B, as in --diff 1..2")
        return await commands.readings.definition(now), await _stored(commands, place, name, before)

    old, new = _with(place, work)
    if as_json:
        write_json({"changes": changes(old, new), "graph": graph_diff(old, new)})
        return
    say(*(changes(old, new) or ["the same but for the label"]))
    write_text(graph_diff(old, new))


def _versions_table(found: Sequence[Version]) -> Table:
    from raywf.cli.output import local_time, zone_name
    from raywf.cli.tables import plain_table

    table = plain_table()
    for head in ("VERSION", "HASH", f"FIRST SEEN ({zone_name()})"):
        table.add_column(head, no_wrap=True)
    table.add_column("OPEN", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in found:
        seen = "" if each.first_seen is None else local_time(each.first_seen)
        said = "current" if each.current else ""
        if each.deployed_at is not None:
            by = f" by {each.deployed_by}" if each.deployed_by else ""
            said += f"{', ' if said else ''}deployed {local_time(each.deployed_at)}{by}"
        table.add_row(each.label, each.hash[:12], seen, f"{each.open:,}", said)
    return table
