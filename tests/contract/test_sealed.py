"""An engine on Ray with a codec: everything works, and the files show nothing of what went through."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

import raywf
from raywf.errors import KeyMissing, WorkflowFailed
from raywf.sealing.keys import new_key
from tests.contract.conftest import eventually
from tests.docs.pages import ROOT, printed_by

pytestmark = pytest.mark.cluster

SECRET = "topsecretpatient"


@raywf.task
def greet(name: str) -> str:
    return f"dear {name}"


@raywf.task
def large(name: str) -> bytes:
    return f"{name} ".encode() * 20_000


@raywf.task(runs_on="ray", num_cpus=0.1)
def large_on_ray(name: str) -> bytes:
    return f"{name}! ".encode() * 20_000


@raywf.task
def talk(name: str) -> str:
    raywf.current().heartbeat({"at": name})
    raywf.current().emit(name)
    return name


@raywf.task
def fail(name: str) -> str:
    raise ValueError(f"cannot treat {name}")


@raywf.workflow
def treat(name: str):
    said = raywf.wait_signal("dose")
    approved = raywf.approval(f"Release {name}?", data=name, timeout=600)
    return greet(approved), large(name), large_on_ray(name), talk(name), said


@raywf.workflow
def broken(name: str):
    return fail(greet(name))


def test_a_run_with_a_signal_an_error_and_large_values_leaves_nothing_readable(shared_ray: str, tmp_path: Path) -> None:
    keys, store = tmp_path / "keys", f"sqlite:///{tmp_path}/store/raywf.db"
    keys.write_text(new_key("a"))
    codec = raywf.Codec(compress="zlib", keys=f"file:{keys}")
    with raywf.connect(store=store, codec=codec) as engine:
        handle = engine.submit(treat, SECRET, execution_id="x", tags={"ward": "3"})
        handle.signal("dose", {"of": SECRET})
        eventually(lambda: f"Release {SECRET}?" in (handle.describe().waiting_for or ""))
        handle.approve(by="ann", comment=f"for {SECRET}")
        hello, one, two, talked, said = handle.result(timeout=60)
        assert (hello, talked, said) == (f"dear {SECRET}", SECRET, {"of": SECRET})
        assert (one, two) == (f"{SECRET} ".encode() * 20_000, f"{SECRET}! ".encode() * 20_000)
        with pytest.raises(WorkflowFailed, match=f"cannot treat dear {SECRET}"):
            engine.run(broken, SECRET)
        assert engine.submit(treat, SECRET, execution_id="x").id == "x", "a repeat is known by its fingerprint"
        engine.schedule(treat, SECRET, cron="0 7 * * *", id="daily")
        merged = engine.aggregator("triage").merge([raywf.Candidate(value=SECRET, source="s")], item="i")
        assert merged.value == SECRET
        handle.export().save(tmp_path / "x.json")
        engine.archive(tmp_path / "archive", older_than="0s", delete=False)
        waiting = engine.submit(treat, SECRET, execution_id="y")
        eventually(lambda: waiting.status() == "waiting")

        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} >= {".db", ".db-wal", ".parquet", ".json"}
        assert len(list((tmp_path / "store" / "raywf.db.data").rglob("??/*"))) == 3, (
            "two values, and the result with both"
        )
        told = [path.name for path in files if SECRET.encode() in path.read_bytes()]
        assert not told, f"{told} show what went through"

        with pytest.raises(KeyMissing, match="was given no keys"), raywf.connect(store=store):
            pass
        waiting.cancel()
        with contextlib.suppress(raywf.WorkflowCancelled):
            waiting.result(timeout=30)


@pytest.mark.long
def test_the_program_of_the_gallery_prints_what_it_says(tmp_path: Path) -> None:
    path = ROOT / "examples" / "gallery" / "encryption.py"
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == printed_by(path), done.stderr


@pytest.mark.long
def test_what_was_waiting_goes_on_in_another_engine_with_a_new_key(shared_ray: str, tmp_path: Path) -> None:
    keys, store = tmp_path / "keys", f"sqlite:///{tmp_path}/raywf.db"
    old = new_key("a")
    keys.write_text(old)
    with raywf.connect(store=store) as engine:
        plain = engine.submit(treat, "plain", execution_id="plain")
        eventually(lambda: plain.status() == "waiting")
    for number, text in enumerate([old, f"{new_key('bb')}\n{old}"]):
        keys.write_text(text)
        codec = raywf.Codec(keys=f"file:{keys}") if not number else raywf.Codec("zstd", [f"file:{keys}"])
        with raywf.connect(store=store, codec=codec) as engine:  # another codec: other actors take over
            handle = engine.submit(treat, SECRET, execution_id="x")
            handle.signal("dose", number, id=f"dose-{number}")
            engine.get("plain").signal("dose", number, id=f"dose-{number}")
            eventually(lambda handle=handle: handle.status() == "waiting")
            if number:
                for each in (handle, engine.get("plain")):
                    each.approve(by="ann")
                assert handle.result(timeout=60)[4] == 0
                assert engine.get("plain").result(timeout=60)[0] == "dear plain"
