"""This machine: the record of `raywf up` and what it protects from, and what `raywf doctor` finds."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raywf.cli import disk, doctor, net
from raywf.cli.laptop import ending, processes, starting
from raywf.cli.laptop.processes import Process, began_at, members_of, name_of, session_of, short_name
from raywf.cli.laptop.record import UpRecord, read_record, remove_record, write_record
from raywf.cli.place import place_of
from raywf.cli.versions import sqlite_version, versions
from raywf.config import up_record
from raywf.journal.hosts import this_machine
from tests.unit.cli.stores import WAITS, FilledStore

Cli = Callable[..., Any]
ME = os.getpid()


def a_record(**changes: Any) -> UpRecord:
    me = Process(ME, began_at(ME) or "", "me")
    values: dict[str, Any] = {
        "address": "127.0.0.1:1",
        "session": os.getsid(0),
        "machine": this_machine(),
        "started_at": "2026-01-01T00:00:00+00:00",
        "temp_dir": "/tmp/nowhere",
        "num_cpus": 2,
        "processes": (me,),
    }
    return UpRecord(**{**values, **changes})


def test_the_record_is_for_this_user_only_and_reads_back() -> None:
    write_record(a_record())
    assert stat.S_IMODE(up_record().stat().st_mode) == 0o600
    assert read_record() == a_record()
    remove_record()
    assert read_record() is None
    remove_record()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": "x"}', '{"processes": [[1]]}', "null"])
def test_a_record_that_is_none_of_ours_counts_as_none(text: str) -> None:
    up_record().parent.mkdir(parents=True)
    up_record().write_text(text)
    assert read_record() is None


def test_a_process_is_known_by_its_beginning_and_session_not_by_its_number() -> None:
    assert a_record().alive() == list(a_record().processes)
    assert a_record(processes=(Process(ME, "another", "me"),)).alive() == []
    assert a_record(session=os.getsid(0) + 1).alive() == []
    assert a_record(machine="boot:before the restart").alive() == []


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """No process is ever signalled by a unit test; what would be sent is kept."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_nothing_is_ended_by_a_number_that_has_another_owner_now(signals: list[tuple[int, int]]) -> None:
    write_record(a_record(processes=(Process(ME, "another", "raylet"),)))
    assert ending.end_session(a_record(processes=(Process(ME, "another", "raylet"),))) == []
    assert signals == []
    assert read_record() is None


def test_nothing_is_ended_after_a_restart_of_the_machine(signals: list[tuple[int, int]]) -> None:
    assert ending.end_session(a_record(machine="boot:before the restart")) == []
    assert signals == []


def test_folders_that_up_did_not_make_are_left(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    ending.end_session(a_record(machine="other", temp_dir=str(tmp_path)))
    assert tmp_path.is_dir()


def test_down_without_up_says_so(cli: Cli) -> None:
    ended = cli("down")
    assert (ended.code, ended.out, ended.err) == (0, "No Ray is up here: nothing to end.\n", "")


def test_down_after_a_restart_tidies_up(cli: Cli, signals: list[tuple[int, int]]) -> None:
    write_record(a_record(machine="boot:before the restart"))
    ended = cli("down")
    assert ended.code == 0
    assert ended.out == "Ray at 127.0.0.1:1 was gone already: its record has been removed\n"
    assert signals == []


def test_down_says_how_many_executions_stay_open(cli: Cli, store: FilledStore, signals: list[tuple[int, int]]) -> None:
    from tests.unit.cli import flows

    store.add(flows.review, WAITS, id="x")
    store.hold(ray_address="127.0.0.1:1")
    write_record(a_record(machine="other"))
    out = cli("down", "--store", store.url).out
    assert f"1 execution stays open in {store.url}: the next engine goes on with it" in out


def test_up_when_it_is_up_starts_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(a_record())
    monkeypatch.setattr(starting, "answers", lambda address: True)
    ended = cli("up")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Ray is up already at 127.0.0.1:1, since 2026-01-01T00:00:00+00:00\n")


def test_a_port_that_is_taken_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "answers", lambda address: True)
    ended = cli("up", "--port", "50000")
    assert ended.code == 2
    assert "--port 50000: something else listens there" in ended.err


def test_ray_is_started_for_this_machine_only_and_without_extras() -> None:
    command = starting.start_command(50001, 3, "/tmp/rwup-x", 50002)
    assert command[:5] == [sys.executable, "-m", "ray.scripts.scripts", "start", "--head"]
    assert {"--node-ip-address=127.0.0.1", "--port=50001", "--num-cpus=3", "--temp-dir=/tmp/rwup-x"} <= set(command)
    assert {"--include-dashboard=False", "--disable-usage-stats", "--ray-client-server-port=50002"} <= set(command)
    assert not [word for word in starting.start_command(1, 1, "/tmp/x", None) if "client" in word]


def test_the_environment_of_ray_is_ours_unless_said_otherwise() -> None:
    plain = starting.environment({"PATH": "/bin", "RAY_ADDRESS": "elsewhere:1"})
    assert plain["RAY_AUTH_MODE"] == "disabled"
    assert plain["RAY_worker_niceness"] == "0"
    assert plain["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "RAY_ADDRESS" not in plain
    assert starting.environment({"RAY_AUTH_MODE": "token"})["RAY_AUTH_MODE"] == "token"


def test_processes_have_a_beginning_a_session_and_a_name() -> None:
    assert began_at(ME) == began_at(ME) is not None
    assert began_at(2**22 + 1) is None
    assert session_of(ME) == os.getsid(0)
    assert session_of(2**22 + 1) is None
    assert ME in [each.pid for each in members_of(os.getsid(0))]
    assert name_of(ME) != "?"


def test_where_there_is_no_proc_ps_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_HAS_PROC", False)
    began = processes.began_at(ME)
    assert began == processes.began_at(ME)
    assert began is not None
    assert processes.began_at(2**22 + 1) is None
    assert ME in [each.pid for each in members_of(os.getsid(0))]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/x/gcs/gcs_server --log_dir=/tmp", "gcs_server"),
        ("/venv/bin/python -u /x/dashboard.py --host=1", "dashboard.py"),
        ("python3.11 -m ray.util.client.server --port=1", "ray.util.client.server"),
        ("ray::IDLE", "ray::IDLE"),
        ("", "?"),
    ],
)
def test_names_of_processes(line: str, name: str) -> None:
    assert short_name(line) == name


# doctor


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "answers", lambda address: False)


def test_a_machine_in_order(cli: Cli) -> None:
    ended = cli("doctor")
    assert (ended.code, ended.err) == (0, "")
    states = {line.split()[1] for line in ended.out.splitlines() if line[:1] in "✔▲✖"}
    assert states <= {"ok", "warn"}
    assert "none yet at" in ended.out


def test_doctor_as_json(cli: Cli) -> None:
    checks = json.loads(cli("doctor", "--json").out)
    assert {"python", "ray", "store", "disk", "fsync", "engine", "up", "shared memory", "environment"} == {
        check["name"] for check in checks
    }
    assert all(set(check) == {"name", "state", "found", "todo"} for check in checks)


def test_a_file_that_is_no_store_is_bad(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello " * 100)
    ended = cli("doctor", "--store", f"sqlite:///{tmp_path}/notes.txt", "--json")
    assert ended.code == 1
    (check,) = [check for check in json.loads(ended.out) if check["name"] == "store"]
    assert check["state"] == "bad"
    assert "not a SQLite file" in check["todo"]


def test_a_real_store_says_format_driver_and_disk(tmp_path: Path) -> None:
    FilledStore(f"sqlite:///{tmp_path}/raywf.db")
    found = next(doctor.check_store(place_of(f"sqlite:///{tmp_path}/raywf.db", "default", {})))
    assert found.state == "ok"
    assert f"{tmp_path}/raywf.db: format " in found.found
    assert "SQLite 3." in found.found


def test_a_live_engine_is_named(store: FilledStore) -> None:
    store.hold()
    check = doctor.check_engine(place_of(store.url, "default", {}))
    assert f"the engine of process {ME}" in check.found


@pytest.mark.parametrize(("version", "state"), [((3, 10), "bad"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "bad")])
def test_pythons(version: tuple[int, int], state: str) -> None:
    assert doctor.check_python(version).state == state


@pytest.mark.parametrize(
    ("version", "state"), [(None, "bad"), ("2.59.1", "warn"), ("2.60.0", "ok"), ("2.71.0", "ok"), ("3.0.0", "warn")]
)
def test_rays(version: str | None, state: str) -> None:
    assert doctor.check_ray(version).state == state


def test_a_dead_record_is_a_warning(nobody_answers: None) -> None:
    assert doctor.check_up().state == "ok"
    write_record(a_record(machine="other"))
    assert doctor.check_up() == doctor.Check(
        "up", "warn", "recorded at 127.0.0.1:1, but its processes are gone", "raywf down, then raywf up"
    )
    write_record(a_record())
    assert "it does not answer" in doctor.check_up().found


def test_variables_that_send_ray_elsewhere(nobody_answers: None) -> None:
    def states(**env: str) -> list[str]:
        return [check.state for check in doctor.check_environment(env)]

    assert states() == ["ok"]
    assert states(RAY_ADDRESS="10.0.0.1:6379") == ["bad"]
    assert states(RAY_ADDRESS="auto") == ["warn"]
    assert states(RAY_AUTH_MODE="token") == ["warn"]
    assert states(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="t") == ["ok"]
    assert states(RAY_TMPDIR="/" + "x" * 80, RAY_NAMESPACE="n") == ["warn", "warn"]


def test_a_disk_is_timed_and_found(tmp_path: Path) -> None:
    took = disk.fsync_p50_ms(tmp_path, rounds=3)
    assert took is not None
    assert took > 0
    assert list(tmp_path.iterdir()) == []
    assert disk.fsync_p50_ms(tmp_path / "no") is None
    assert disk.nearest_folder(tmp_path / "a" / "b") == tmp_path


def test_a_slow_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "fsync_p50_ms", lambda folder: 25.0)
    assert [check.state for check in doctor.check_disk(tmp_path)] == ["ok", "warn"]


def test_versions() -> None:
    assert list(versions()) == ["raywf", "python", "ray", "sqlite", "pydantic"]
    assert sqlite_version("3.54.1.0") == "3.54.1"
    assert sqlite_version(None) is None


def test_an_address_that_is_none_answers_nothing() -> None:
    assert not net.answers("nonsense")
    assert not net.answers("host:port")
