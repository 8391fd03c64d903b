"""N runs of a graph of 5 nodes on LangGraph with SQLite, a checkpoint after each: `langgraph_chain.py MODE DURABILITY N`.

MODE: `sequential` (invoke, one after another) or `concurrent` (ainvoke, gathered).
DURABILITY: `default` (LangGraph's own choice "async": a node may start before its predecessor's checkpoint is on disk) or
`sync` (it may not, as in raywf). LangGraph sets WAL itself, so its default is already the WAL mode.
"""

import asyncio
import importlib.metadata
import json
import sqlite3
import sys
import time
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

mode, durability, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = {} if durability == "default" else {"durability": durability}


class State(TypedDict):
    x: int


def node(state):
    return {"x": state["x"] + 1}


graph = StateGraph(State)
previous = START
for i in range(5):
    graph.add_node(f"n{i}", node)
    graph.add_edge(previous, f"n{i}")
    previous = f"n{i}"
graph.add_edge(previous, END)


def thread(name):
    return {"configurable": {"thread_id": name}}


def sequential():
    with SqliteSaver.from_conn_string("langgraph.db") as saver:
        app = graph.compile(checkpointer=saver)
        for x in range(10):
            app.invoke({"x": x}, thread(f"warm-{x}"), **options)
        start = time.perf_counter()
        states = [app.invoke({"x": x}, thread(f"t-{x}"), **options) for x in range(n)]
        return states, time.perf_counter() - start


async def concurrent():
    async with AsyncSqliteSaver.from_conn_string("langgraph.db") as saver:
        app = graph.compile(checkpointer=saver)
        await asyncio.gather(*[app.ainvoke({"x": x}, thread(f"warm-{x}"), **options) for x in range(10)])
        start = time.perf_counter()
        states = await asyncio.gather(*[app.ainvoke({"x": x}, thread(f"t-{x}"), **options) for x in range(n)])
        return states, time.perf_counter() - start


states, taken_s = asyncio.run(concurrent()) if mode == "concurrent" else sequential()
assert [state["x"] for state in states] == [x + 5 for x in range(n)], "wrong results"
with sqlite3.connect("langgraph.db") as file:
    found = file.execute("PRAGMA journal_mode").fetchone()[0]
    checkpoints = file.execute("SELECT count(*) FROM checkpoints WHERE thread_id = 't-0'").fetchone()[0]
details = {
    "n": n,
    "version": importlib.metadata.version("langgraph"),
    "journal_mode": found,
    "checkpoints": checkpoints,
    "sqlite": sqlite3.sqlite_version,
}
print(json.dumps({"figures": {"per_s": n / taken_s}, "details": details}))
