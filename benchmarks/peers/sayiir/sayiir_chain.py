"""N durable workflows of 5 tasks on Sayiir: `sayiir_chain.py MODE postgres N`, on the server in RAYWF_BENCH_POSTGRES.

MODE: `sequential` (one after another) or `threads` (eight at once: its executor blocks the thread that calls it).
The server must have the extension pgcrypto. It stores in PostgreSQL or in memory, and in no file; what it keeps in memory is gone with its process, so there is no row for that.
"""

import importlib.metadata
import json
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from sayiir import Flow, PostgresBackend, run_durable_workflow, task

mode, journal, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
assert journal == "postgres", journal
THREADS = 8


def numbered(i):
    @task(name=f"plus_one_{i}")
    def plus_one(x: int) -> int:
        return x + 1

    return plus_one


flow = Flow("five")
for i in range(5):
    flow = flow.then(numbered(i))
workflow = flow.build()
# Its driver wants a host before it reads that of the query, which is the directory of the socket.
backend = PostgresBackend(os.environ["RAYWF_BENCH_POSTGRES"].replace("@/", "@localhost/"))


def one(name, x):
    status = run_durable_workflow(workflow, f"{name}-{x}", x, backend=backend)
    assert status.is_completed(), status
    return status.output


def run(name, numbers):
    if mode == "sequential":
        return [one(name, x) for x in numbers]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda x: one(name, x), numbers))


mark = uuid.uuid4().hex  # a server that is given keeps what an earlier run left
run(f"warm-{mark}", range(10))
start = time.perf_counter()
results = run(f"chain-{mark}", range(n))
taken_s = time.perf_counter() - start
assert results == [x + 5 for x in range(n)], "wrong results"
details = {"n": n, "version": importlib.metadata.version("sayiir"), "threads": 1 if mode == "sequential" else THREADS}
print(json.dumps({"figures": {"per_s": n / taken_s}, "details": details}))
