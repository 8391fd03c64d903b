"""A driver that does as it is told, one line of JSON at a time: ``{"do": name, ...}``; answers ``@@ {...}``.

Ids go into the file ``accepted`` as soon as ``submit_many`` has returned them: they are what may not be lost.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import killwork

import raywf

HERE = Path(__file__).parent


class Driver:
    def __init__(self, address: str, store: str) -> None:
        self.engine = raywf.connect(address=address or None, store=store)
        self.handles: dict[str, Any] = {}

    def submit(self, workflow: str, inputs: list[Any], batch: int = 50, ids: list[str] | None = None) -> int:
        for start in range(0, len(inputs), batch):
            some = inputs[start : start + batch]
            given = None if ids is None else ids[start : start + batch]
            handles = self.engine.submit_many(getattr(killwork, workflow), some, execution_ids=given)
            lines = [json.dumps([handle.id, workflow, value]) for handle, value in zip(handles, some, strict=True)]
            with open(HERE / "accepted", "a") as accepted:
                accepted.write("\n".join(lines) + "\n")
            self.handles.update({handle.id: handle for handle in handles})
        return len(inputs)

    def results(self, timeout: float = 120.0, ids: list[str] | None = None) -> dict[str, Any]:
        """How each execution that is known here ended, as this driver hears it."""
        out: dict[str, Any] = {}
        handles = self.handles.values() if ids is None else [self.engine.get(id_) for id_ in ids]
        for handle in handles:
            try:
                out[handle.id] = handle.result(timeout)
            except raywf.RaywfError as error:
                out[handle.id] = f"{type(error).__name__}: {error}"
        return out

    def signal(self, id: str, name: str, payload: Any) -> None:
        self.engine.get(id).signal(name, payload)

    def approve(self, id: str) -> None:
        self.engine.get(id).approve(by="somebody")

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes of the cluster, the head first: who is on them, and how many shards they hold."""
        return [
            {"id": node.id, "host": node.host, "shards": node.shards, "pids": [actor.pid for actor in node.actors]}
            for node in self.engine.nodes()
        ]

    def nothing(self) -> float:
        return time.time()

    def dismiss(self) -> None:
        """Park and end the actors of this store, so that the Ray can be used for the next test."""
        import ray

        supervisor = self.engine._async._supervisor
        ray.get(supervisor.park.remote(), timeout=30)
        ray.kill(supervisor, no_restart=True)


def main() -> None:
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    began = time.monotonic()
    try:
        driver = Driver(*sys.argv[1:3])
    except raywf.RaywfError as error:
        say.write("@@ " + json.dumps({"error": type(error).__name__, "message": str(error)}) + "\n")
        sys.exit(4)
    say.write("@@ " + json.dumps({"pid": os.getpid(), "took_s": time.monotonic() - began}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        what = asked.pop("do")
        if what == "leave":
            break
        try:
            answer: Any = {"is": getattr(driver, what)(**asked)}
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        say.write("@@ " + json.dumps(answer) + "\n")
    driver.engine.close()


if __name__ == "__main__":
    main()
