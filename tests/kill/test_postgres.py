"""The server under a running engine dies, comes back after a minute, or is replaced by its standby."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.journal.postgres_machine import Machine, machines, url_of
from tests.kill.conftest import dismiss
from tests.kill.machine import Head
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(300)]
MANY = 500
EXPECTED = sorted(RESULTS["mixed"](n) for n in range(MANY))


@pytest.fixture
def servers() -> Iterator[list[Machine]]:
    with machines(2) as found:
        yield found


@pytest.fixture
def on_one(lasting_head: Head, servers: list[Machine]) -> Iterator[Scene]:
    servers[0].make().start()
    scene = Scene(lasting_head, f"{url_of(servers[0])}&schema=scene")
    yield scene
    dismiss(scene)


@pytest.fixture
def on_two(lasting_head: Head, servers: list[Machine]) -> Iterator[Scene]:
    """The second server follows the first, and nothing is promised that it does not have."""
    first, second = servers
    first.make().start()
    servers[1] = first.standby(second.folder).start()
    first.stop()
    first.start("-c synchronous_standby_names='*'")
    scene = Scene(lasting_head, f"{url_of(first, second)}&target_session_attrs=read-write&schema=scene")
    yield scene
    dismiss(scene)


def amid(scene: Scene) -> None:
    """Executions are under way, and none of them has far to go."""
    scene.driver().ask("submit", workflow="mixed", inputs=list(range(MANY)), batch=MANY)
    scene.wait_begun(700)


def all_is_well(scene: Scene) -> None:
    [driver] = scene.drivers
    assert sorted(driver.ask("results").values()) == EXPECTED
    scene.judged(RESULTS)
    assert driver.ask("submit", workflow="mixed", inputs=[MANY]) == 1
    assert len(driver.ask("results")) == MANY + 1


@pytest.mark.parametrize("away_s", [0, 60])
def test_the_server_is_killed_amid_500_executions_and_away(
    on_one: Scene, servers: list[Machine], away_s: float
) -> None:
    """Ten leases long: nobody can take over, because nobody reaches the store; the engine goes on when it is back."""
    amid(on_one)
    servers[0].kill()
    time.sleep(away_s)
    servers[0].start()
    all_is_well(on_one)


def test_the_server_is_restarted_in_good_order_and_again(on_one: Scene, servers: list[Machine]) -> None:
    amid(on_one)
    for _ in range(2):
        servers[0].stop()
        servers[0].start()
        time.sleep(0.5)
    all_is_well(on_one)


def test_a_standby_is_promoted_amid_500_executions(on_two: Scene, servers: list[Machine]) -> None:
    amid(on_two)
    servers[0].kill()
    time.sleep(2)
    servers[1].promote()
    all_is_well(on_two)
