"""Two hosts, and the wire between them is cut. Who is cut off does not know, goes on for a while, and may not write a row once
others have taken over. The store itself bears witness: triggers note from which address each event was committed, and when
each shard was claimed, all by the server's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.journal.postgres_server import Admin, in_schema, running
from tests.kill import verdict
from tests.kill.machine import Head, is_alive, until
from tests.kill.network import Island
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Driver, Scene
from tests.kill.witness import ask

pytestmark = [pytest.mark.kill, pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(400)]
MANY = 300
LINGER_S = 2.0
LEASE_S = 3.0
HALF = 128
SCHEMA = "islands"
WITNESS = """
    SET search_path = islands;
    CREATE TABLE noted (what text, id bigint, at float8 DEFAULT extract(epoch FROM clock_timestamp()));
    CREATE FUNCTION note_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO islands.noted VALUES (host(inet_client_addr()), NEW.key); RETURN NULL;
    END $$;
    CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO islands.noted VALUES ('claim', NEW.shard); RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note_event();
    CREATE TRIGGER note AFTER UPDATE OF owner ON leases FOR EACH ROW EXECUTE FUNCTION note_claim();
"""


@dataclass
class Two:
    """A head here, a node on the island, a workflow actor on each, and a store that is reached by a wire of its own."""

    island: Island
    head: Head
    scene: Scene
    driver: Driver
    owner: str
    pid: int

    def holds(self) -> bool:
        """Whether the actor that was on the island in the beginning has a lease."""
        return bool(ask(self.scene.url, "SELECT 1 FROM leases WHERE owner = :owner", owner=self.owner))

    def committed(self, after: float = 0.0) -> int:
        """Events that the island has committed."""
        sql = "SELECT count(*) FROM noted WHERE what = :there AND at > :after"
        return int(ask(self.scene.url, sql, there=self.island.store.there, after=after)[0][0])

    def last_claim(self, after: float) -> float:
        return float(
            ask(self.scene.url, "SELECT max(at) FROM noted WHERE what = 'claim' AND at > :after", after=after)[0][0]
        )

    def late(self, after: float) -> int:
        """Events that the island has committed in a shard after somebody else had claimed it."""
        sql = """SELECT count(*) FROM noted AS e JOIN executions AS x ON x.key = e.id JOIN noted AS c ON c.id = x.shard
            WHERE e.what = :there AND c.what = 'claim' AND c.at > :after AND e.at > c.at"""
        return int(ask(self.scene.url, sql, there=self.island.store.there, after=after)[0][0])

    def shards(self) -> list[int]:
        return [node["shards"] for node in self.driver.ask("nodes")]


@pytest.fixture
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    with Island() as island, running() as server:
        place = island.store.here
        url = in_schema(server.listen(place, f"{place}/24"), SCHEMA)
        head = Head(env=getattr(request, "param", None), ip=island.ray.here)
        scene = Scene(head, url, {"RAYWF_WORKFLOW_ACTORS": "per-node"})
        try:
            head.start().add_node(island.ray.there, island.within)
            driver = scene.driver()
            until(lambda: [n["shards"] for n in driver.ask("nodes")] == [HALF, HALF], 60, "each holds half", 0.2)
            here, there = driver.ask("nodes")
            assert here["host"] != there["host"] == island.name, "two hosts"
            [owner] = [owner for owner, pid in verdict.owners(url) if pid == there["pids"][0]]
            admin = Admin(server.url)
            admin.do(WITNESS)
            admin.close()
            yield Two(island, head, scene, driver, owner, there["pids"][0])
        finally:
            scene.end()
            head.end()


def test_a_host_that_is_cut_off_from_everything_is_replaced_when_its_lease_ends(two: Two) -> None:
    """And everything ends on the other one, before the wire is mended. Mended, it learns that it has lost, and serves again."""
    island, scene, driver = two.island, two.scene, two.driver
    driver.ask("submit", workflow="lingering", inputs=[[n, LINGER_S] for n in range(MANY)])
    scene.wait_begun(MANY)
    assert two.committed() > 0, "the island commits as long as it can"
    island.cut(island.ray, island.store)
    cut_at = time.time()
    until(lambda: not two.holds(), 30, "the other host holds everything")
    took_s = two.last_claim(cut_at) - cut_at
    print(f"\nthe last shard was claimed {took_s:.1f} s after the cut")
    assert 0.5 * LEASE_S < took_s < LEASE_S + 5, "not before the lease had ended, and soon after"
    assert sorted(driver.ask("results").values()) == list(range(MANY)), "all ended while the wire was cut"
    assert is_alive(two.pid), "it was no death"
    assert two.committed(cut_at) == 0
    island.mend(island.ray, island.store)
    until(lambda: not is_alive(two.pid), 60, "the old owner has gone")
    assert two.late(cut_at) == 0, "what it sent before the cut, or after the mend, was refused"
    until(lambda: two.shards() == [HALF, HALF], 120, "the island holds its share again", 0.5)
    driver.ask("submit", workflow="mixed", inputs=list(range(MANY)))
    driver.ask("results")
    found = scene.judged({**RESULTS, "lingering": lambda given: given[0]})
    assert found.statuses == {"completed": 2 * MANY}
    assert two.committed(time.time() - 60) > 0, "it commits again"


QUICK = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.mark.parametrize("two", [QUICK], indirect=True)
def test_a_host_that_only_ray_has_lost_goes_on_until_others_claim_and_then_writes_nothing(two: Two) -> None:
    """Its lease is in order all the time, so Ray's notice of its death is wrong: the epoch decides."""
    island, scene, driver = two.island, two.scene, two.driver
    driver.ask("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(MANY)
    island.cut(island.ray)
    cut_at = time.time()
    driver.ask("nothing")
    until(lambda: not two.holds(), 90, "the other host holds everything")
    print(f"\nthe last shard was claimed {two.last_claim(cut_at) - cut_at:.1f} s after the cut")
    assert two.committed(cut_at) > 0, "it went on as long as it was the owner"
    driver.ask("submit", workflow="inside", inputs=list(range(MANY)))
    scene.all_ended()
    assert two.late(cut_at) == 0
    island.mend(island.ray)
    until(lambda: not is_alive(two.pid), 90, "the old owner has gone")
    assert two.late(cut_at) == 0
    driver.ask("results")
    found = scene.judged(RESULTS)
    assert found.statuses == {"completed": 2 * MANY}
