"""Programs as users write them, each in a process of its own; all but one on the shared Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


class Program:
    """A Python process in `folder` whose last line on stdout is JSON."""

    def __init__(self, folder: Path, *arguments: str, **env: str | None) -> None:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | {k: v for k, v in env.items() if v is not None}
        with (folder / "stderr.txt").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.folder = folder

    def said(self) -> Any:
        """The next line it prints, as JSON."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[", '"')):
                return json.loads(line)
        raise AssertionError(f"ended with {self.process.wait()}:\n{self.stderr()}")

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(timeout=60)
        assert code == 0, self.stderr()

    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text()


Start = Callable[..., Program]


@pytest.fixture
def start(shared_ray: str) -> Iterator[Start]:
    """Starts programs that find the shared Ray in RAY_ADDRESS (or say otherwise), and ends them whatever happens."""
    started: list[Program] = []

    def start(folder: Path, *arguments: str, **env: str | None) -> Program:
        started.append(Program(folder, *arguments, **{"RAY_ADDRESS": shared_ray} | env))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        for pipe in (each.process.stdin, each.process.stdout):
            if pipe is not None:
                pipe.close()


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        if path.suffix == "":
            path = path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def once(start: Start, folder: Path, *arguments: str, **env: str | None) -> Any:
    program = start(folder, *arguments, **env)
    said = program.said()
    program.end()
    return said


PROJECT = """
    import json, os, sys
    import raywf
    from tasks import compute

    @raywf.workflow
    def flow(x: int):
        return compute(x)

    if __name__ == "__main__":
        with raywf.connect() as engine:
            print(json.dumps([engine.run(flow, 1), engine.run(flow, 1, isolation="process")]), flush=True)
"""


def tasks(word: str) -> str:
    return f"""
    import raywf
    from helpers.words import say

    @raywf.task
    def compute(x: int) -> str:
        return say("{word}", x)
    """


HELPERS = """
    def say(word, x):
        return f"{word} {x}"
"""


@pytest.mark.long
def test_two_projects_with_a_tasks_module_share_a_store_and_an_edit_counts_at_once(
    start: Start, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/raywf.db"
    one = write(tmp_path / "one", main=PROJECT, tasks=tasks("one"), helpers__words=HELPERS)
    two = write(tmp_path / "two", main=PROJECT, tasks=tasks("two"), helpers__words=HELPERS.replace("{word}", "{word}!"))
    assert once(start, one, "main.py", RAYWF_STORE=store) == ["one 1"] * 2
    assert once(start, two, "main.py", RAYWF_STORE=store) == ["two! 1"] * 2
    write(one, tasks=tasks("edited"))
    write(one, helpers__words=HELPERS.replace("{word}", "{word}?"))
    assert once(start, one, "main.py", RAYWF_STORE=store) == ["edited? 1"] * 2


@pytest.mark.long
def test_two_projects_at_the_same_time(start: Start, tmp_path: Path) -> None:
    main = """
    import json, sys
    import raywf
    from tasks import compute

    @raywf.workflow
    def flow(x: int):
        return [compute(x), compute.with_options(runs_on="ray")(x)]

    with raywf.connect() as engine:
        print(json.dumps(engine.run(flow, 1)), flush=True)
        sys.stdin.readline()
        print(json.dumps(engine.run(flow, 2)), flush=True)
    """
    store = f"sqlite:///{tmp_path}/raywf.db"
    one = write(tmp_path / "one", main=main, tasks=tasks("one"), helpers__words=HELPERS)
    two = write(tmp_path / "two", main=main, tasks=tasks("two"), helpers__words=HELPERS)
    first = start(one, "main.py", RAYWF_STORE=store)
    assert first.said() == ["one 1", "one 1"]
    second = start(two, "main.py", RAYWF_STORE=store)
    assert second.said() == ["two 1", "two 1"]
    for each in (first, second):
        each.tell()
    assert (first.said(), second.said()) == (["one 2"] * 2, ["two 2"] * 2)
    first.end()
    second.end()


def test_functions_of_a_command_line_text_and_of_standard_input(start: Start, tmp_path: Path) -> None:
    text = textwrap.dedent("""
    import json, raywf

    def helper(x):
        return x + 1

    @raywf.task
    def compute(x: int) -> int:
        return helper(x)

    @raywf.workflow
    def flow(x: int):
        return compute(x)

    with raywf.connect() as engine:
        print(json.dumps([engine.run(flow, 1), engine.run(flow, 2)]), flush=True)
    """)
    store = f"sqlite:///{tmp_path}/raywf.db"
    assert once(start, tmp_path, "-c", text, RAYWF_STORE=store) == [2, 3]


def test_a_module_of_a_package_run_as_main_with_relative_imports(start: Start, tmp_path: Path) -> None:
    write(
        tmp_path,
        shop____init__="",
        shop__prices="""
        RATES = {"a": 2}

        def price(x):
            return RATES["a"] * x
        """,
        shop__main="""
        import json, raywf
        from .prices import price

        @raywf.task
        def compute(x: int) -> int:
            return price(x)

        @raywf.workflow
        def flow(x: int):
            return [compute(x), compute.with_options(num_cpus=1)(x)]

        if __name__ == "__main__":
            with raywf.connect() as engine:
                print(json.dumps(engine.run(flow, 4)), flush=True)
        """,
    )
    assert once(start, tmp_path, "-m", "shop.main", RAYWF_STORE=f"sqlite:///{tmp_path}/raywf.db") == [8, 8]


def test_the_default_store_is_in_the_folder_and_an_address_beats_the_environment(
    start: Start, shared_ray: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        main="""
        import json, os, sys
        import ray, raywf

        with raywf.connect(address=sys.argv[1] if len(sys.argv) > 1 else None) as engine:
            print(json.dumps([ray.get_runtime_context().gcs_address, os.path.exists(".raywf/raywf.db")]), flush=True)
        """,
    )
    assert once(start, tmp_path, "main.py") == [shared_ray, True]
    assert once(start, tmp_path, "main.py", shared_ray, RAY_ADDRESS="127.0.0.1:1") == [shared_ray, True]


JOINER = """
    import json, os, sys
    import ray, raywf

    @raywf.task
    def mine(x: int) -> str:
        return f"{NAME} {x}"

    NAME = sys.argv[1]

    @raywf.workflow
    def flow(x: int):
        return mine(x)

    try:
        with raywf.connect() as engine:
            print(json.dumps([ray.get_runtime_context().gcs_address, engine.run(flow, 1)]), flush=True)
            sys.stdin.readline()
            print(json.dumps([engine.run(flow, 2)]), flush=True)
    except raywf.RaywfError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
"""


@pytest.mark.long
def test_a_private_ray_is_joined_by_the_next_process_and_refused_to_another_ray(
    start: Start, shared_ray: str, tmp_path: Path
) -> None:
    """The order of connect: nothing is said, so the first starts a private Ray; the second finds it in the store."""
    store = f"sqlite:///{tmp_path}/raywf.db"
    first_home = write(tmp_path / "first", main=JOINER)
    second_home = write(tmp_path / "second", main=JOINER)
    first = start(first_home, "main.py", "first", RAYWF_STORE=store, RAY_ADDRESS="")
    address, result = first.said()
    assert result == "first 1" and address != shared_ray

    second = start(second_home, "main.py", "second", RAYWF_STORE=store, RAY_ADDRESS="")
    assert second.said() == [address, "second 1"]

    refused = once(start, second_home, "main.py", "third", RAYWF_STORE=store)
    assert refused["error"] == "StoreUnavailable"
    assert address in refused["message"] or str(first.process.pid) in refused["message"], refused["message"]

    second.tell()
    assert second.said() == ["second 2"]
    second.end()
    first.tell()
    assert first.said() == ["first 2"], "the first goes on when the second has left"
    first.end()

    # The private Ray has gone with its owner; the store is free again, here for the shared Ray.
    third = start(second_home, "main.py", "third", RAYWF_STORE=store)
    assert third.said() == [shared_ray, "third 1"]
    third.tell()
    assert third.said() == ["third 2"]
    third.end()


STRANGER = """
    import json, sys
    import raywf

    def end(handle, timeout):
        try:
            return repr(handle.result(timeout=timeout))
        except raywf.RaywfError as error:
            return type(error).__name__

    with raywf.connect() as engine:
        waits, unwanted = engine.get(sys.argv[1]), engine.get(sys.argv[2])
        unwanted.cancel("not wanted")
        waits.signal("go", "now")
        said = {"cancelled": end(unwanted, 5), "error": end(waits, 2), "status": waits.status()}
        print(json.dumps(said | {"waiting_for": str(waits.describe().waiting_for)}), flush=True)
"""


@pytest.mark.long
def test_parked_on_a_private_ray_goes_on_with_the_next_one(start: Start, tmp_path: Path) -> None:
    """Functions in `__main__` and in a module; each Ray is gone when the next process starts."""
    write(
        tmp_path,
        steps="""
        import raywf

        @raywf.task
        def finish(value) -> str:
            return f"module {value}"

        @raywf.workflow
        def in_module():
            return finish(raywf.wait_signal("go"))
        """,
        main="""
        import asyncio, json, os, sys, time
        import raywf
        from steps import in_module

        @raywf.task
        def finish(value) -> str:
            return f"main {value}"

        @raywf.workflow
        def in_main():
            return finish(raywf.wait_signal("go"))

        @raywf.task
        async def slow(ledger) -> str:
            with open(ledger, "a") as out:
                out.write(raywf.current().idempotency_key + "\\n")
            if len(open(ledger).readlines()) == 1:
                await asyncio.sleep(60)
            return "slow"

        @raywf.workflow
        def napping(ledger: str):
            return slow(ledger)

        with raywf.connect() as engine:
            handles = [engine.submit(wf, execution_id=wf.id) for wf in (in_main, in_module)]
            napping = engine.submit(napping, "ledger.txt", execution_id="napping")
            if sys.argv[1] == "first":
                while not os.path.exists("ledger.txt"):
                    time.sleep(0.02)
                left = time.monotonic()
            else:
                for each in handles:
                    each.signal("go", 7)
                results = [each.result(timeout=60) for each in (*handles, napping)]
                lost = [each.data["counted"] for each in napping.history() if each.kind == "attempt_lost"]
                print(json.dumps([results, lost]), flush=True)
        if sys.argv[1] == "first":
            print(json.dumps([time.monotonic() - left]), flush=True)
        """,
    )
    store = f"sqlite:///{tmp_path}/raywf.db"
    options = {"RAYWF_STORE": store, "RAY_ADDRESS": ""}
    (left_within,) = once(start, tmp_path, "main.py", "first", **options)
    assert "3" in (tmp_path / "stderr.txt").read_text() and "park" in (tmp_path / "stderr.txt").read_text()
    results, lost = once(start, tmp_path, "main.py", "second", **options)
    assert results == ["main 7", "module 7", "slow"]
    keys = (tmp_path / "ledger.txt").read_text().splitlines()
    assert len(keys) == 2 and len(set(keys)) == 1, "run again with the same key"
    assert not any(lost), "a parked attempt is not the task's fault"
    assert left_within < 25, "leaving does not wait for a task of a minute"


@pytest.mark.long
def test_an_execution_whose_code_is_not_there_takes_signals_waits_and_says_so(start: Start, tmp_path: Path) -> None:
    """What it waits for is its next task; signals and cancels need no code. It goes on with the next connect that has it."""
    store = f"sqlite:///{tmp_path}/raywf.db"
    home = write(
        tmp_path / "home",
        main="""
        import json, sys
        import raywf

        @raywf.task
        def finish(value) -> str:
            return f"finished {value}"

        @raywf.workflow
        def waiting():
            return finish(raywf.wait_signal("go"))

        with raywf.connect() as engine:
            handles = engine.submit_many(waiting, [()] * 2, execution_ids=["one", "two"])
            print(json.dumps([handles[0].result(timeout=30) if sys.argv[1] == "again" else "left"]), flush=True)
        """,
    )
    away = write(tmp_path / "away", stranger=STRANGER)
    assert once(start, home, "main.py", "first", RAYWF_STORE=store, RAY_ADDRESS="") == ["left"]
    met = once(start, away, "stranger.py", "one", "two", RAYWF_STORE=store)
    assert met["cancelled"] == "WorkflowCancelled", met
    assert met["error"] in ("ResultTimeout", "CodeMissing"), met
    assert met["status"] not in ("failed", "cancelled", "completed")
    assert "CodeMissing" in met["waiting_for"] or "code" in met["waiting_for"].lower(), met
    assert once(start, home, "main.py", "again", RAYWF_STORE=store) == ["finished now"]


@pytest.mark.long
def test_a_program_that_never_closes_its_engine_ends_without_a_word(start: Start, tmp_path: Path) -> None:
    """Its private Ray is ended while the interpreter goes, when no thread starts any more."""
    home = write(
        tmp_path / "home",
        steps="""
        import raywf

        @raywf.task
        def double(x: int) -> int:
            return 2 * x

        @raywf.workflow
        def doubled(x: int):
            return double(x)
        """,
        main="""
        import json, raywf
        from steps import doubled

        print(json.dumps([raywf.connect().run(doubled, 4)]), flush=True)
        """,
    )
    program = start(home, "main.py", RAYWF_STORE=f"sqlite:///{tmp_path}/raywf.db", RAY_ADDRESS="")
    assert program.said() == [8]
    program.end()
    assert "Traceback" not in program.stderr()


def test_a_client_that_lacks_a_class_hears_its_name(start: Start, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/raywf.db"
    home = write(
        tmp_path / "home",
        things="""
        from dataclasses import dataclass

        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(f"odd {a}")

        @dataclass
        class Thing:
            x: int
        """,
        main="""
        import json
        import raywf
        from things import Odd, Thing

        @raywf.task
        def bad() -> int:
            raise Odd(1, 2)

        @raywf.task
        def thing() -> Thing:
            return Thing(3)

        @raywf.workflow
        def failing():
            return bad()

        @raywf.workflow
        def giving():
            return thing()

        if __name__ == "__main__":
            with raywf.connect() as engine:
                engine.submit(failing, execution_id="bad")
                print(json.dumps([engine.run(giving, execution_id="thing").x]), flush=True)
                try:
                    engine.get("bad").result()
                except raywf.WorkflowFailed:
                    pass
        """,
    )
    assert once(start, home, "main.py", RAYWF_STORE=store) == [3]
    away = write(
        tmp_path / "away",
        reader="""
        import json
        import raywf

        with raywf.connect() as engine:
            said = {}
            for name in ("bad", "thing"):
                try:
                    engine.get(name).result(timeout=20)
                except raywf.WorkflowFailed as error:
                    f = error.failure
                    said[name] = ["WorkflowFailed", f.type, f.message, f.traceback]
                except raywf.RaywfError as error:
                    said[name] = [type(error).__name__, str(error)]
            said["status"] = engine.get("thing").describe().status
            print(json.dumps(said), flush=True)
        """,
    )
    said = once(start, away, "reader.py", RAYWF_STORE=store)
    kind, name, message, trace = said["bad"]
    assert kind == "WorkflowFailed" and "Odd" in name and message == "odd 1" and "raise Odd" in trace
    assert "Thing" in said["thing"][1]
    assert said["status"] == "completed"


YAML = """
id: answer
version: "1"
parameters: {question: {type: string}}
tasks:
  - {id: search, function: "app.tasks:search", args: [{$ref: input.question}], options: {timeout: 30}}
  - {id: summarize, function: "app.tasks:summarize", map: [{$ref: search}]}
  - {id: write, function: "app.tasks:write", args: [{$ref: input.question}, {$ref: summarize}]}
  - {id: check, when: {op: "<", left: {$ref: write.score}, right: 0.7}, then: [ask], otherwise: [], result: {then: {$ref: ask}, otherwise: {$ref: write}}}
  - {id: ask, approval: {prompt: "Publish?", data: {$ref: write}, timeout: 3600}}
  - {id: publish, function: "app.tasks:publish", args: [{$ref: check}]}
result: {$ref: publish}
"""


def test_the_yaml_of_the_contract_runs(start: Start, tmp_path: Path) -> None:
    write(
        tmp_path,
        app____init__="",
        app__tasks="""
        from raywf import task

        @task
        def search(question: str) -> list[str]:
            return question.split()

        @task
        async def summarize(hit: str) -> str:
            return hit.upper()

        @task
        def write(question: str, notes: list[str]) -> dict:
            return {"title": question, "score": len(notes) / 5, "notes": notes}

        @task
        def publish(draft: dict) -> str:
            return "published " + " ".join(draft["notes"])
        """,
        main="""
        import json, time
        import raywf

        answer = raywf.WorkflowDefinition.from_yaml(open("answer.yaml").read())
        with raywf.connect() as engine:
            first = engine.run(answer, "a b c d")
            handle = engine.submit(answer, question="a b")
            while handle.status() != "waiting":
                time.sleep(0.02)
            handle.approve(by="me")
            second = handle.result(timeout=20)
            tasks = {each: found.status for each, found in handle.describe().tasks.items()}
            again = raywf.WorkflowDefinition.from_json(answer.to_json())
            try:
                engine.submit(answer, 7)
            except raywf.InvalidInput as error:
                refused = str(error)
            print(json.dumps([first, second, tasks["ask"], engine.run(again, "x y z w"), refused]), flush=True)
        """,
    )
    (tmp_path / "answer.yaml").write_text(YAML)
    first, second, ask, again, refused = once(start, tmp_path, "main.py", RAYWF_STORE=f"sqlite:///{tmp_path}/raywf.db")
    assert (first, second, ask, again) == ("published A B C D", "published A B", "completed", "published X Y Z W")
    assert "question" in refused


def test_importing_a_module_with_workflows_starts_nothing(start: Start, tmp_path: Path) -> None:
    write(
        tmp_path,
        main="""
        import json, sys
        import raywf

        @raywf.task
        def step(x: int) -> int:
            return x

        @raywf.workflow
        def flow(x: int):
            print("traced", file=sys.stderr)
            return step(x)

        print(json.dumps(["ray" in sys.modules]), flush=True)
        """,
    )
    assert once(start, tmp_path, "main.py") == [False]
    assert "traced" not in (tmp_path / "stderr.txt").read_text()
