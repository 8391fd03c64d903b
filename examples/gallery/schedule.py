"""A report every morning at seven in Berlin, and what becomes of it when the clocks change. No Ray.

    python examples/gallery/schedule.py

prints::

    Sat 2026-03-28 02:30 CET
    Sun 2026-03-29 03:00 CEST
    Mon 2026-03-30 02:30 CEST
    refused: cron '30 2 * * MNO': day of week 'MNO' (column 10): it is 0 to 7 or SUN to SAT. Did you mean 'MON'?
    report of someday

With an engine, ``engine.register(report)`` puts the trigger into effect, and ``engine.schedule(report, cron="30 2 * * *")``
makes the same by hand.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.core.cron import parse_cron


@task
def write() -> str:
    at = raywf.current().scheduled_at  # the instant that this execution is for, in a backfill too
    return f"report of {at:%Y-%m-%d}" if at else "report of someday"


@workflow(triggers=[raywf.on_cron("30 2 * * *", timezone="Europe/Berlin", overlap="buffer_one", catch_up=6 * 3600)])
def report() -> str:
    return write()


if __name__ == "__main__":
    berlin, at = ZoneInfo("Europe/Berlin"), datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp()
    for _ in range(3):
        at = parse_cron("30 2 * * *").following(at, berlin)
        print(f"{datetime.fromtimestamp(at, berlin):%a %Y-%m-%d %H:%M %Z}")
    try:
        raywf.on_cron("30 2 * * MNO")
    except raywf.DefinitionError as error:
        print("refused:", str(error).removeprefix("raywf.on_cron: "))
    print(raywf.testing.run(report))
