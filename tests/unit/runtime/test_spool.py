"""What a worker notes survives it, torn records and all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.runtime.spool import Progress, SpoolWriter, read_spool, spool_path


def test_the_end_of_one_and_the_beginning_of_the_next_are_one_note(tmp_path: Path) -> None:
    notes = SpoolWriter(tmp_path / "notes")
    notes.started(0)
    notes.ended(0, ["ok", '"é\\n\u2028\\u0000"'], begins=1)
    notes.ended(1, ["ok", "1", ['"half"', 0, []]], begins=2)
    notes.close()
    found = read_spool(notes.path)
    assert found is not None
    assert found.outcomes == {0: ["ok", '"é\\n\u2028\\u0000"'], 1: ["ok", "1", ['"half"', 0, []]]}
    assert (found.running, found.last_words) == (2, "")


def written(path: Path) -> Path:
    """Two tasks ended, the third was running."""
    notes = SpoolWriter(path)
    notes.started(0)
    notes.ended(0, ["ok", '"é\\n\u2028"'])
    notes.started(1)
    notes.ended(1, ["failed", {"type": "E"}])
    notes.started(2)
    notes.close()
    return path


def test_notes_say_what_ended_and_what_was_running_and_are_removed_when_read(tmp_path: Path) -> None:
    path = written(tmp_path / "deep" / "notes")
    found = read_spool(path)
    assert found is not None
    assert found.outcomes == {0: ["ok", '"é\\n\u2028"'], 1: ["failed", {"type": "E"}]}
    assert (found.running, found.last_words) == (2, "")
    assert found.running_since > 1e9
    assert not path.exists()
    assert read_spool(path) is None


def test_notes_are_nobody_elses_business(tmp_path: Path) -> None:
    path = written(tmp_path / "deep" / "notes")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert spool_path("owner", 3).name == "owner-3"


def test_a_worker_that_was_between_two_tasks_was_running_nothing(tmp_path: Path) -> None:
    notes = SpoolWriter(tmp_path / "notes")
    notes.started(0)
    notes.ended(0, ["ok", "1"])
    notes.close()
    found = read_spool(notes.path)
    assert found == Progress({0: ["ok", "1"]}, None, found.running_since if found else 0)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_is_read_up_to_there(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A result that is half on disk does not count, and its task was still running."""
    path = written(tmp_path_factory.mktemp("spool") / "notes")
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    found = read_spool(path)
    assert found is not None
    whole = data.split(b"\n")[:-1]
    last = data.split(b"\n")[-1]
    try:
        whole += [last] if len(json.loads(last)) == 3 else []
    except ValueError:
        assert found.last_words == last.decode(errors="replace")
    records = [json.loads(line) for line in whole]
    assert set(found.outcomes) == {item for kind, item, _ in records if kind == "r"}
    assert found.running == (records[-1][1] if records and records[-1][0] == "s" else None)


@pytest.mark.parametrize("line", [b"5", b"null", b"{}", b'"text"', b"[]", b"[1,2]", b"\xff\xfe", b"{", b'["s",0,'])
def test_lines_that_are_no_records_are_kept_as_last_words(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path / "notes")
    with path.open("ab") as file:
        file.write(b"Timeout (0:00:01)!\n" + line + b"\n")
    found = read_spool(path)
    assert found is not None
    assert (found.running, len(found.outcomes)) == (2, 2)
    assert found.last_words.startswith("Timeout (0:00:01)!\n")
