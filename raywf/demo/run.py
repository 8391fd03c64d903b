"""The command `raywf demo`: the engine's side of the demo.

Submit all tickets, answer approvals while the others still run, collect rows in the order of the input, report.
Each invocation is a run of its own (`demo-<run>-0001`, ...), so running twice in one store never meets an old result.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import raywf
from raywf.config import Settings, command_name
from raywf.demo import output as files
from raywf.demo import report
from raywf.demo.identifiers import DemoExtraMissing, require_all
from raywf.demo.inputs import Ticket, demo_tickets, read_tickets
from raywf.demo.learning import learn
from raywf.demo.person import NobodyToAsk, Person, at_the_terminal, yes_to_all
from raywf.demo.score import Row, score
from raywf.errors import ExecutionClosed, InvalidInput, ResultTimeout, WorkflowCancelled, WorkflowFailed

EngineFactory: TypeAlias = Callable[..., AbstractContextManager[Any]]

PATIENCE_S = 0.05
"""How long one result is awaited before looking whether somebody has to be asked; answers take up to 0.2 s to arrive."""

PAGE = 1000


def run_demo(
    *,
    store: str | None = None,
    namespace: str = "default",
    input_path: str | Path | None = None,
    interactive: bool = False,
    limit: int | None = None,
    output: str | Path | None = None,
    as_json: bool = False,
    console: Console | None = None,
    progress: Console | None = None,
    engine_factory: EngineFactory | None = None,
) -> int:
    """Runs the triage of all tickets and reports; gives the exit code.

    0 done, 1 some execution failed, 2 the input, the output or the installation cannot be used (nothing ran), 5 the
    terminal ended while a person was being asked (what is open stays in the store). What the engine raises while it
    connects, such as `StoreUnavailable`, is the caller's.
    """
    out, notes = console or Console(), progress or Console(stderr=True)
    try:
        require_all()
        tickets = _chosen(input_path, limit)
        target = _writable(Path(output or "triage.parquet"))
    except (InvalidInput, DemoExtraMissing) as error:
        notes.print(str(error), style="red", markup=False, soft_wrap=True)
        return 2
    run_id = uuid4().hex[:8]
    ids = [f"demo-{run_id}-{number:04d}" for number in range(1, len(tickets) + 1)]
    place = _without_password(Settings.from_env(os.environ, store).store)
    notes.print(f"{len(tickets)} tickets, run {run_id}, store {place}", highlight=False, soft_wrap=True)
    connect: EngineFactory = engine_factory or raywf.connect
    try:
        with connect(store=store, namespace=namespace) as engine:
            person = at_the_terminal(notes) if interactive else yes_to_all
            rows, failed, times = _run(engine, tickets, ids, person, notes, bar=not interactive)
            learned = learn(engine, f"demo-{run_id}", tickets, rows)
    except NobodyToAsk:
        notes.print(f"No answer at the terminal. Next: {command_name()} ls --store {place}", soft_wrap=True)
        return 5
    files.write_parquet(target, files.columns(tickets, rows, ids))
    facts = report.Run(run_id, place, namespace, target, *times, len(tickets), failed, _example(rows, ids), interactive)
    scores = score(tickets, rows)
    if as_json:
        out.print_json(json.dumps(report.as_json(facts, scores, learned), ensure_ascii=False))
    else:
        report.show(out, facts, scores, learned)
    return 1 if failed else 0


def _chosen(input_path: str | Path | None, limit: int | None) -> list[Ticket]:
    tickets = demo_tickets() if input_path is None else read_tickets(input_path)
    if limit is not None and limit < 1:
        raise InvalidInput(f"the limit is {limit}, but at least one ticket must run; give 1 or more, or leave it out")
    return tickets[:limit]


def _writable(path: Path) -> Path:
    """Refused before anything runs, not after minutes of work."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"{path} cannot be written; give --output with a file in a folder that exists")
    return path


def _without_password(store: str) -> str:
    """What is printed ends up in logs and screenshots."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", store)


def _example(rows: Sequence[Row | None], ids: Sequence[str]) -> str:
    """The execution to look at first: one where a person was asked, if there is one."""
    asked = (id_ for row, id_ in zip(rows, ids, strict=True) if row and row["asked"])
    return next(asked, ids[0])


def _run(
    engine: Any, tickets: Sequence[Ticket], ids: Sequence[str], person: Person, notes: Console, *, bar: bool
) -> tuple[list[Row | None], tuple[str, ...], tuple[float, float]]:
    """The rows in the order of `tickets`, the ids that failed, and the seconds of the first ticket and of the rest."""
    from raywf.demo.triage import triage

    by_id = dict(zip(ids, tickets, strict=True))
    desk = Desk(engine, triage.definition.id, by_id, person)
    rows: list[Row | None] = []
    with _ticking(notes, len(tickets), shown=bar) as tick:
        marks = [perf_counter()]
        for part in (slice(0, 1), slice(1, None)):
            texts = [ticket.text for ticket in tickets[part]]
            handles = engine.submit_many(triage, texts, execution_ids=list(ids[part])) if texts else []
            for handle in handles:
                rows.append(desk.collect(handle))
                tick()
            marks.append(perf_counter())
    failed = tuple(id_ for row, id_ in zip(rows, ids, strict=True) if row is None)
    return rows, failed, (marks[1] - marks[0], marks[2] - marks[1])


class Desk:
    """Waits for results, and has the person answer whatever of this run is waiting for an approval meanwhile."""

    def __init__(self, engine: Any, workflow: str, tickets: dict[str, Ticket], person: Person) -> None:
        self.engine = engine
        self.workflow = workflow
        self.tickets = tickets
        self.person = person
        self.answered: set[str] = set()

    def collect(self, handle: Any) -> Row | None:
        """The row of one execution, None where it failed or was cancelled by somebody."""
        while True:
            try:
                row: Row = handle.result(timeout=PATIENCE_S)
            except ResultTimeout:
                self.answer_all()
            except (WorkflowFailed, WorkflowCancelled):
                return None
            else:
                return row

    def answer_all(self) -> None:
        """Answers every execution of this run that waits, each once: an answer is on its way for up to 200 ms."""
        for execution_id in self._waiting():
            if execution_id in self.tickets and execution_id not in self.answered:
                self.answered.add(execution_id)
                try:
                    self.person(self.engine.get(execution_id), self.tickets[execution_id])
                except ExecutionClosed:  # its hour was over, or somebody else was quicker
                    continue

    def _waiting(self) -> Iterator[str]:
        after = None
        while True:
            page = self.engine.list(status="waiting", workflow=self.workflow, limit=PAGE, after=after)
            yield from (found.id for found in page)
            if len(page) < PAGE:
                return
            after = page[-1].id


@contextmanager
def _ticking(notes: Console, total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere: a log file wants no moving parts."""
    if not (shown and notes.is_terminal):
        yield lambda: None
        return
    parts = (TextColumn("tickets"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, console=notes, transient=True) as progress:
        task = progress.add_task("tickets", total=total)
        yield lambda: progress.advance(task)
