"""What tasks emit: durable, numbered without gaps or repeats whatever happens to attempts, followed from any offset; and what was
recorded, read by its path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.client.queries import query
from raywf.client.reading import Readings
from raywf.client.streams import StreamItem, stream
from raywf.runtime import speech
from tests.unit.runtime.engines import ID, Engine, live_through, new_store


def readings_of(engine: Engine) -> Readings:
    return Readings("memory://unit", "default", engine.journal)


def lives(workflow: Any, main: Callable[[Engine], Coroutine[Any, Any, Any]], *args: Any) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit(*args)
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(run)


async def followed(engine: Engine, *args: Any) -> list[StreamItem]:
    return [item async for item in stream(readings_of(engine), ID, *args)]


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=0))
async def writes(words: list[str]) -> int:
    """Fails in the middle of its first attempts, after it has emitted something."""
    me = raywf.current()
    for at, word in enumerate(words):
        me.emit(word)
        await asyncio.sleep(0.2)
        if me.attempt <= 2 and at == me.attempt:
            raise RuntimeError("half-way")
    return len(words)


@raywf.workflow
def writing(words: list[str]) -> Any:
    return writes(words)


WORDS = ["a", "b", "c", "d", "e"]


def test_a_stream_is_followed_while_it_is_written_and_read_afterwards_from_any_offset() -> None:
    async def main(engine: Engine) -> None:
        live = [(item.number, item.value) async for item in stream(readings_of(engine), ID, "writes")]
        assert live == list(enumerate(WORDS))
        assert [item.value for item in await followed(engine)] == WORDS
        assert [(item.number, item.value) for item in await followed(engine, "writes", 3)] == [(3, "d"), (4, "e")]
        assert await followed(engine, "writes", 99) == []

    lives(writing, main, WORDS)


def test_an_attempt_that_runs_again_repeats_no_number_and_what_was_recorded_first_stays() -> None:
    async def main(engine: Engine) -> None:
        await engine.to_the_end()
        items = await followed(engine, "writes")
        assert [item.number for item in items] == [0, 1, 2, 3, 4]
        assert [item.attempt for item in items] == [1, 1, 2, 3, 3]

    lives(writing, main, WORDS)


def test_after_a_crash_the_numbers_go_on() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(writing, store)
        await engine.claim()
        await engine.submit(WORDS)
        await engine.until(lambda: (live := engine.live()) and (notes := live.state.tasks[0].notes) and notes.emitted)
        await engine.commits.drain()

    async def second() -> None:
        engine = Engine(writing, store, 2)
        await engine.claim()
        await engine.to_the_end()
        assert [(item.number, item.value) for item in await followed(engine)] == list(enumerate(WORDS))
        await engine.close()

    live_through(first)
    live_through(second)


@raywf.task(retry=raywf.Retry(max_attempts=2, initial=0))
async def goes_on() -> int:
    me = raywf.current()
    for number in range(me.emitted, 6):
        me.emit(f"item {number} of attempt {me.attempt}", number=number)
        if me.attempt == 1 and number == 3:
            raise RuntimeError("half-way")
    return me.emitted


@raywf.workflow
def going_on() -> Any:
    return goes_on()


def test_a_task_may_go_on_where_the_attempt_before_stopped() -> None:
    async def main(engine: Engine) -> None:
        assert await engine.to_the_end() == ("execution_completed", 4)
        assert [item.value for item in await followed(engine)] == [
            f"item {number} of attempt {1 if number < 4 else 2}" for number in range(6)
        ]

    lives(going_on, main)


@raywf.task
def says(name: str) -> str:
    for at in range(3):
        raywf.current().emit({"from": name, "at": at})
    return name


@raywf.workflow
def many(names: list[str]) -> Any:
    return says.map(names), writes(["x"])


def test_each_item_of_a_fan_out_has_a_stream_and_all_are_one_too() -> None:
    async def main(engine: Engine) -> None:
        await engine.to_the_end()
        one = await followed(engine, "says[1]")
        assert [(item.number, item.value) for item in one] == [(at, {"from": "b", "at": at}) for at in range(3)]
        assert [item.number for item in await followed(engine, "says")] == list(range(6))
        assert [item.number for item in await followed(engine)] == list(range(7))
        with pytest.raises(raywf.NotFound, match=r"no task 'sayz'.*Did you mean 'says'"):
            await followed(engine, "sayz")
        with pytest.raises(raywf.InvalidInput, match="offset=-1"):
            await followed(engine, None, -1)

    lives(many, main, ["a", "b"])


def test_items_are_written_in_groups_and_before_the_end_of_their_task() -> None:
    @raywf.task
    def bursts() -> None:
        for number in range(1200):
            raywf.current().emit(number)

    @raywf.workflow
    def flow() -> Any:
        return bursts()

    async def main(engine: Engine) -> None:
        await engine.to_the_end()
        kinds = await engine.kinds()
        assert kinds.count("items_emitted bursts") == 3
        assert kinds[-2:] == ["task_completed bursts", "execution_completed"]
        assert [item.value for item in await followed(engine)] == list(range(1200))

    lives(flow, main)


@raywf.task
def goes_further() -> None:
    for number in range(3 + FURTHER[0]):
        raywf.current().emit(number)
    if not FURTHER[0]:
        FURTHER[0] = 2
        raise RuntimeError("not yet")


FURTHER = [0]


@raywf.workflow
def going_further() -> Any:
    return goes_further()


def test_after_a_retry_of_its_execution_a_stream_goes_on_behind_what_it_has() -> None:
    async def main(engine: Engine) -> None:
        assert (await engine.to_the_end())[0] == "execution_failed"
        await engine.send(1, "retry", {})
        await engine.until(lambda: engine.live() is not None or not engine.owner._taking)
        assert (await engine.to_the_end())[0] == "execution_completed"
        assert [(item.number, item.value) for item in await followed(engine)] == [(at, at) for at in range(5)]

    FURTHER[0] = 0
    lives(going_further, main)


def test_a_stream_is_bounded_and_has_no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    words = speech.Speech(3)
    with pytest.raises(raywf.InvalidInput, match="would leave a gap: the stream has 3 items"):
        words.emit("x", 4)
    words.emit("x", 3)
    with pytest.raises(raywf.InvalidInput, match="the next number of this attempt is 4"):
        words.emit("x", 3)
    with pytest.raises(raywf.InvalidInput, match=r"an item of a stream of 70,002 bytes is too large"):
        words.emit("x" * 70_000, None)
    monkeypatch.setattr(speech, "MAX_ITEMS", 5)
    words.emit("y", None)
    with pytest.raises(raywf.InvalidInput, match="is one too many: a task emits at most 5 items"):
        words.emit("z", None)
    assert words.take() == (None, 3, [b'"x"', b'"y"'])


@raywf.task
async def scores(text: str) -> dict[str, Any]:
    return {"title": text.title(), "marks": [{"value": len(text)}, {"value": 2}], "a key": 1}


@raywf.task
def step(state: dict[str, int]) -> dict[str, int]:
    return {"n": state["n"] + 1}


@raywf.workflow
def recorded(text: str) -> Any:
    scored = scores(text)
    raywf.loop(lambda state: step(state), {"n": 0}, until=lambda state: state["n"] >= 3, id="count")
    return {"title": scored["title"], "all": scores.with_options(id="every").map([text, "b"])}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input.text", "some text"),
        ("result.title", "Some Text"),
        ("scores.marks[0].value", 9),
        ('scores["a key"]', 1),
        ("every[1].title", "B"),
        ("step@2.n", 2),
        ("count.n", 3),
        ("result.all[-1].title", "B"),
    ],
)
def test_a_query_reads_what_is_recorded_by_its_path(path: str, value: Any) -> None:
    async def main(engine: Engine) -> Any:
        await engine.to_the_end()
        return await query(readings_of(engine), ID, path)

    assert lives(recorded, main, "some text") == value


@raywf.workflow
def half(text: str) -> Any:
    return scores(text), step(raywf.wait_signal("go"))


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("scorez", raywf.NotFound, r"no task 'scorez'.*Did you mean 'scores'"),
        (
            "scores.titel",
            raywf.NotFound,
            r"'titel' is not in the dict at scores.titel; it has a key, marks, title.*'title'",
        ),
        ("scores.marks[7]", raywf.NotFound, "7 is not in the list"),
        ("step.n", raywf.NotFound, "task 'step' of execution 'x' has no result yet: it is pending"),
        ("result", raywf.NotFound, "has no result yet: it is waiting"),
        ("scores..title", raywf.InvalidInput, "cannot be read at '..title'"),
        ("", raywf.InvalidInput, "it begins with input, result or a task"),
    ],
)
def test_a_query_of_what_is_not_there_says_what_is(path: str, error: type[Exception], says: str) -> None:
    async def main(engine: Engine) -> None:
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await engine.commits.drain()
        with pytest.raises(error, match=says):
            await query(readings_of(engine), ID, path)

    lives(half, main, "some text")
