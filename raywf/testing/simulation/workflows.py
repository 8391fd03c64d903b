"""Workflows to be tried: small, and together of every kind of task and every way to end.

Each task says to the outside world that it begins. How they are used is in ``catalogue``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import raywf
from raywf.testing.simulation.outside import begin, fails


@raywf.task
async def add(a: int, b: int = 1) -> int:
    begin()
    return a + b


@raywf.task
async def slow(a: int) -> int:
    begin()
    await asyncio.sleep(1.5)
    return a


@raywf.task
async def slower(a: int) -> int:
    begin()
    await asyncio.sleep(4.0)
    return a


@raywf.task
async def brief(a: int) -> int:
    begin()
    await asyncio.sleep(0.05)
    return a + 1


@raywf.task
def plain(a: int) -> list[int]:
    begin()
    return [a] * a


@raywf.task
def total(numbers: list[int]) -> int:
    begin()
    return sum(numbers)


@raywf.task(retry=raywf.Retry(max_attempts=4, initial=0.5, max_delay=1.0))
async def flaky(a: int) -> int:
    begin()
    if fails(2):
        raise ValueError("not yet")
    return a


@raywf.task(retry=raywf.Retry(max_attempts=4, initial=0.5, max_delay=1.0))
def plain_flaky(a: int) -> int:
    begin()
    if fails(1):
        raise ValueError("not yet")
    return a


@raywf.task
async def broken(a: int) -> int:
    begin()
    raise ValueError(f"never {a}")


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=0.1, max_delay=0.2))
async def always_broken(a: int) -> int:
    begin()
    raise ValueError(f"never {a}")


@raywf.task(timeout=1.0, retry=raywf.Retry(max_attempts=3, initial=0.1))
async def hangs_once(a: int) -> int:
    begin()
    if fails(1):
        await asyncio.sleep(1e6)
    return a


@raywf.task(timeout=0.5)
async def hangs(a: int) -> int:
    begin()
    await asyncio.sleep(1e6)
    return a


@raywf.task(runs_on="ray")
def far(a: int) -> int:
    begin()
    return a * 2


@raywf.task(runs_on="ray", retry=raywf.Retry(max_attempts=4, initial=0.2))
async def far_flaky(a: int) -> int:
    begin()
    await asyncio.sleep(0.1)
    if fails(1):
        raise ValueError("not yet")
    return a * 2


@raywf.task(runs_on="ray")
async def far_slow(a: int) -> int:
    begin()
    await asyncio.sleep(1.0)
    return a * 2


@raywf.workflow
def single(x: int) -> Any:
    return add(x)


@raywf.workflow
def chain(x: int) -> Any:
    for _ in range(4):
        x = add(x)
    return x


@raywf.workflow
def brief_chain(x: int) -> Any:
    for _ in range(3):
        x = brief(x)
    return x


@raywf.workflow
def diamond(x: int) -> Any:
    a = add(x)
    return add(add(a, 10), slow(a))


@raywf.workflow
def fan_out(x: int) -> Any:
    return {"all": add.map(add.map(plain(x)), b=x), "x": x}


@raywf.workflow
def fan_out_over_nothing(x: int) -> Any:
    return add.map([]), add(x)


@raywf.workflow
def wide(x: int) -> Any:
    return total(brief.map(list(range(12)))), x


@raywf.workflow
def branches(x: int) -> Any:
    a = add(x)
    return raywf.when(
        a > 0,
        then=lambda: add(raywf.when(a > 100, then=lambda: add(0), otherwise=lambda: add(add(a), a))),
        otherwise=lambda: add(-1),
    )


@raywf.workflow
def branch_with_waiting(x: int) -> Any:
    return raywf.when(add(x) > 100, then=lambda: slow(1), otherwise=lambda: raywf.sleep(1.0, add(x)))


@raywf.workflow
def gathered(x: int) -> Any:
    a = slow(x)
    return raywf.gather(add(x), add(2).after(a), plain(2))


@raywf.workflow
def threads(x: int) -> Any:
    return total(plain(x)), plain_flaky(x)


@raywf.workflow
def retried(x: int) -> Any:
    return add(flaky(x), flaky(2))


@raywf.workflow
def retried_fan_out(x: int) -> Any:
    return flaky.map(plain(x))


@raywf.workflow
def out_of_attempts(x: int) -> Any:
    return add(always_broken(x))


@raywf.workflow
def sleeping(x: int) -> Any:
    return add(raywf.sleep(3.0, add(x)))


@raywf.workflow
def sleeping_side_by_side(x: int) -> Any:
    return raywf.sleep(0.5, add(x)), raywf.sleep(2.0, x), raywf.sleep(4.0, x)


@raywf.workflow
def signalled(x: int) -> Any:
    add(x)
    return [raywf.wait_signal("go"), raywf.wait_signal("go").after(slow(1))]


@raywf.workflow
def signal_in_vain(x: int) -> Any:
    return raywf.wait_signal("never", timeout=2.0, default="none"), slow(x)


@raywf.workflow
def signal_too_late(x: int) -> Any:
    slower(x)
    return raywf.wait_signal("never", timeout=1.0)


@raywf.workflow
def approved(x: int) -> Any:
    return add(raywf.approval("Publish?", data=add(x)))


@raywf.workflow
def rejected(x: int) -> Any:
    return raywf.approval("Publish?", data=add(x))


@raywf.workflow
def rejected_with_a_value(x: int) -> Any:
    return add(raywf.approval("Publish?", data=add(x), on_reject=-1))


@raywf.workflow
def nobody_approves(x: int) -> Any:
    return add(raywf.approval("Publish?", data=add(x), timeout=2.0, on_timeout=-1))


@raywf.workflow
def parent(x: int) -> Any:
    return chain(add(x)), single.map([1, 2])


@raywf.workflow
def grandparent(x: int) -> Any:
    return add(parent(x)[0])


@raywf.workflow
def children_that_take_time(x: int) -> Any:
    return diamond.map([x, 4, 5]), sleeping(x)


@raywf.workflow
def child_that_waits(x: int) -> Any:
    return signal_in_vain(add(x))


@raywf.workflow
def failing(x: int) -> Any:
    slow(x)
    return broken(add(x))


@raywf.workflow
def child_fails(x: int) -> Any:
    slow(x)
    return failing(x)


@raywf.workflow
def sibling_of_a_child_fails(x: int) -> Any:
    return diamond(x), broken(slow(x))


@raywf.workflow
def item_fails(x: int) -> Any:
    slower(x)
    return single.map(plain(x)), broken.map([x, 4])


@raywf.workflow
def timing_out(x: int) -> Any:
    return add(hangs_once(x))


@raywf.workflow
def timed_out(x: int) -> Any:
    return slow(hangs(x))


@raywf.workflow
def on_ray(x: int) -> Any:
    return add(far(far(x)))


@raywf.workflow
def ray_fan_out(x: int) -> Any:
    return far.map([x, 1, 2, 7, 8]), far_flaky(x)


@raywf.workflow
def ray_takes_time(x: int) -> Any:
    return far(far_slow(x)), far_slow.map([1, 2])


@raywf.workflow
def endless(x: int) -> Any:
    return add(slow(raywf.wait_signal("never")), diamond(x))


@raywf.workflow
def endless_children(x: int) -> Any:
    return endless.map([x, 4]), slower(x)


@raywf.workflow
def everything(x: int) -> Any:
    a = flaky(x)
    b = raywf.when(a > 0, then=lambda: far(a), otherwise=lambda: add(a))
    c = raywf.wait_signal("go").after(b)
    return single(b), raywf.sleep(0.5, c), add.map(plain(x))


@raywf.workflow
def some_answers(x: int) -> Any:
    asked = [add(x), add(x), slower(x), broken(x), single(x), raywf.wait_signal("never")]
    return add(raywf.aggregate(asked, quorum=2, timeout=600, strategy="majority").value)


@raywf.workflow
def stopped_early(x: int) -> Any:
    return raywf.aggregate([add(x), add(x), slower(x)], early_stop=True, strategy="majority").value


@raywf.workflow
def loops(x: int) -> Any:
    return raywf.loop(lambda state: add(state, 2), x, until=lambda state: state > 10)


@raywf.workflow
def loops_within(x: int) -> Any:
    def body(outer: Any) -> Any:
        return raywf.loop(lambda inner: brief(inner), outer, until=lambda inner: inner > 4)

    return raywf.loop(lambda state: flaky(add(body(state))), x, until=lambda state: state > 7)


@raywf.workflow
def loop_over_its_limit(x: int) -> Any:
    return raywf.loop(lambda state: slow(state), x, until=lambda state: state > 10, max_iterations=2)


@raywf.task
async def goes_on(a: int, rounds: int = 2) -> int:
    begin()
    return a if rounds == 0 else raywf.continuation(goes_on, a, rounds=rounds - 1)


@raywf.task
def hands_over(a: int) -> int:
    begin()
    return raywf.continuation(diamond, a)  # type: ignore[no-any-return]


@raywf.workflow
def continued(x: int) -> Any:
    return add(goes_on(x)), hands_over(x)


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=0.2))
async def give_back(a: int) -> None:
    begin()
    if fails(1):
        raise ValueError("not yet")


@raywf.task
def drop(a: Any) -> None:
    begin()


@raywf.workflow
def saga(x: int) -> Any:
    a = add.with_options(compensate=give_back)(x)
    b = add.with_options(compensate=drop, id="b").map(plain(x))
    slow.with_options(compensate=drop)(a)
    return broken(b[0])


@raywf.workflow
def saga_over_children(x: int) -> Any:
    return saga(add.with_options(compensate=give_back)(x))


@raywf.workflow
def saga_to_cancel(x: int) -> Any:
    return endless(add.with_options(compensate=give_back)(slow.with_options(compensate=drop)(x)))


@raywf.task(effect="at_most_once", in_doubt="fail")
async def once(a: int) -> int:
    begin()
    await asyncio.sleep(0.5)
    return a


@raywf.task(effect="at_most_once", in_doubt="fail", runs_on="ray")
async def once_far_away(a: int) -> int:
    begin()
    await asyncio.sleep(0.5)
    return a


@raywf.workflow
def at_most_once(x: int) -> Any:
    return add(once(x)), once_far_away(x)


@raywf.workflow
def paused(x: int) -> Any:
    return add(slow(add(x))), diamond(x), raywf.sleep(2.0, x)


@raywf.workflow
def limited(x: int) -> Any:
    one_at_a_time = raywf.Limit("simulated", concurrency=1)
    return brief.with_options(limits=[one_at_a_time]).map([x, 4, 5]), add(x)


@raywf.task
async def mended(a: Any) -> Any:
    """Fails for good, until its execution is retried."""
    begin()
    if fails(1):
        raise RuntimeError("not mended yet")
    return a


@raywf.workflow
def mended_after_all(x: int) -> Any:
    return add(mended(add(x))), slow(x), mended.with_options(id="twice")([1, 2])


@raywf.workflow
def mended_saga(x: int) -> Any:
    a = add.with_options(compensate=give_back)(x)
    b = add.with_options(compensate=drop, id="b").map(plain(x))
    return mended(a), add.with_options(id="c")(b[0])


@raywf.workflow
def mended_child(x: int) -> Any:
    return add(mended_saga(add(x))[1]), mended_after_all.map([x, 4])


@raywf.task
async def odd_only(number: int) -> None:
    if number % 2 == 0:
        raise ValueError("even")


@raywf.workflow
def updated(x: int) -> Any:
    return add(raywf.wait_update("number", validator=odd_only), x)


@raywf.task(heartbeat_timeout=60.0)
async def talks(a: int) -> int:
    begin()
    for n in range(3):
        raywf.current().emit(n)
        raywf.current().heartbeat(n)
        await asyncio.sleep(2.0)
    return a


@raywf.workflow
def talking(x: int) -> Any:
    return add(talks(x))


@raywf.workflow
def recalled(x: int) -> Any:
    first = slow.with_options(cache=True)(x)
    again = slow.with_options(cache=True, id="again")(first)
    one_at_a_time = raywf.Limit("simulated-too", concurrency=1)
    several = brief.with_options(cache=raywf.Cache(ttl=1000), limits=[one_at_a_time]).map([x, x, 4, x])
    return (
        add(again),
        several,
        far_slow.with_options(cache=True).map([x, x]),
        flaky.with_options(cache=True).map([x, x]),
    )


@raywf.workflow(id="versioned")
def versioned(x: int) -> Any:
    return add(raywf.sleep(3.0, value=flaky(x)), slow(x))


@raywf.workflow(id="versioned", version="2")
def versioned_anew(x: int) -> Any:
    asleep = raywf.sleep(3.0, value=flaky(x))
    brief.map(plain(asleep))
    return add(asleep, slow(x))


@raywf.workflow(id="booked")
def booked(x: int) -> Any:
    return add(raywf.sleep(3.0, value=add.with_options(compensate=give_back, id="book")(x)))


@raywf.workflow(id="booked", version="2")
def booked_otherwise(x: int) -> Any:
    return add(raywf.sleep(3.0, value=add.with_options(compensate=give_back, id="book")(x, b=1)))
