"""Limits: two tenants share one quota, take turns, and nobody has more than two calls at a time. No Ray.

    python examples/gallery/limits.py

prints::

    called 6 times, at most 2 at a time
"""

import asyncio

import raywf
import raywf.testing
from raywf import task, workflow

calls = {"running": 0, "most": 0, "count": 0}


@task(limits=[raywf.Limit("api", concurrency=2, rate=raywf.Rate(100, per=60), fair="input.tenant")])
async def call(question: str) -> str:
    calls["count"] += 1
    calls["running"] += 1
    calls["most"] = max(calls["most"], calls["running"])
    await asyncio.sleep(1)  # the clock of raywf.testing jumps over it
    calls["running"] -= 1
    return question.upper()


@workflow
def ask_all(tenant: str, questions: list[str]) -> list[str]:
    return call.map(questions)


if __name__ == "__main__":
    raywf.testing.run(ask_all, "acme", list("abcdef"))
    print(f"called {calls['count']} times, at most {calls['most']} at a time")
