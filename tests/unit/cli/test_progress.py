"""Progress: a picture that fits the screen, a line per transition in logs, a word beside every glyph."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from raywf.cli.following import Change, Follower
from raywf.cli.place import place_of
from raywf.cli.progress import LineView, LiveView, NoView, change_line, chosen, counted, picture, view_for
from raywf.cli.statuses import counts_text, glyph
from raywf.client.reading import Readings, TaskDescription
from raywf.core.state import ExecutionStatus, TaskStatus
from tests.unit.cli import flows
from tests.unit.cli.stores import BEGAN, WAITS, FilledStore


def a_console(encoding: str = "utf-8", *, terminal: bool = False) -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, width=80, force_terminal=terminal, no_color=True, highlight=False)


def tasks(*statuses: str) -> list[TaskDescription]:
    return [TaskDescription(id=f"t{at}", kind="call", status=status, attempt=1) for at, status in enumerate(statuses)]


def test_the_picture_shows_tasks_and_what_to_type(store: FilledStore) -> None:
    store.add(flows.review, WAITS, id="x", waiting_for="an approval")
    console = a_console()

    async def follow() -> str:
        readings = Readings(store.url, "default")
        follower = await Follower.open(readings, "x")
        await follower.look()
        with console.capture() as captured:
            now = datetime.fromtimestamp(BEGAN + 65, UTC)
            console.print(picture(follower, place_of("memory://s", "default", {}), console, now))
        await readings.close()
        return captured.get()

    assert [line.rstrip() for line in asyncio.run(follow()).splitlines()] == [
        "◐ waiting  review  x  1 min 5 s",
        "  ✔ completed  search",
        "  ✔ completed  summarize  2/2 completed",
        "  ◐ waiting    approval   an approval: Publish sky?",
        "  ○ pending    publish",
        "in another terminal: raywf approve x --store memory://s",
        "                     raywf reject x --store memory://s",
    ]


def test_many_tasks_are_counted_and_those_that_say_most_are_shown() -> None:
    many = tasks(*["completed"] * 30, "failed", *["pending"] * 30, "running")
    assert [task.id for task in chosen(many, rows=4)] == ["t0", "t1", "t30", "t61"]
    assert counted(many, rows=4) == "28 completed, 30 pending"
    assert counted(tasks("running"), rows=4) == ""


def test_a_fan_out_is_counted() -> None:
    assert counts_text({"completed": 41, "running": 20, "retrying": 2, "failed": 1}) == (
        "41/64 completed, 1 failed, 2 retrying, 20 running"
    )


def test_a_transition_is_a_line_with_time_glyph_and_word() -> None:
    change = Change(datetime(2001, 1, 1, 7, 5, 9, tzinfo=UTC), "merge", "waiting", "until\n2001-01-01T08:00:00+00:00")
    assert change_line(change, "x", a_console()).plain == ("07:05:09  ◐ waiting     merge  until 2001-01-01 08:00 UTC")


def test_where_glyphs_cannot_be_written_ascii_does() -> None:
    change = Change(datetime(2026, 1, 1, tzinfo=UTC), None, "completed")
    assert change_line(change, "x", a_console("ascii")).plain == "00:00:00  + completed   execution x"


@pytest.mark.parametrize("status", [*ExecutionStatus, *TaskStatus])
def test_every_status_has_a_glyph_of_its_own_in_ascii_too(status: str) -> None:
    assert glyph(status) != "?"
    assert glyph(status, ascii_only=True).isascii()
    assert glyph("running") != glyph("failed") != glyph("completed")


def test_the_view_suits_the_stream() -> None:
    place = place_of(None, "default", {})
    with view_for(a_console(), place) as view:
        assert isinstance(view, LineView)
    with view_for(a_console(terminal=True), place, quiet=True) as view:
        assert isinstance(view, NoView)
    with view_for(a_console(terminal=True), place) as view:
        assert isinstance(view, LiveView)
