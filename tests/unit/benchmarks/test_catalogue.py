"""Choosing rows, and saying what is missing for them."""

import pytest

from benchmarks.catalogue import DBOS_ROWS, FULL, LANGGRAPH_ROWS, QUICK, _why_missing, choose, missing, rows
from benchmarks.engine import arguments
from benchmarks.on_postgres import VARIABLE
from benchmarks.peer_rows import PEERS

ALL = rows(FULL, None)


def names(*only: str) -> list[str]:
    return [row.name for row in choose(ALL, only)]


def test_every_name_is_used_once_and_quick_has_the_same_rows():
    assert len({row.name for row in ALL}) == len(ALL)
    assert [row.name for row in rows(QUICK, None)] == [row.name for row in ALL]


def test_rows_are_chosen_by_name_group_or_peer():
    assert names() == [row.name for row in ALL]
    assert names("bare,cold") == ["bare", "cold"]
    assert names("bare", "cold") == ["bare", "cold"]
    assert names("dbos") == list(DBOS_ROWS)
    assert names("ray") == ["ray-raw", "ray-raywf", "cpu-raw", "cpu-raywf"]
    assert set(DBOS_ROWS + LANGGRAPH_ROWS) < set(names("throughput"))


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(SystemExit, match=r"'bar'.*actor-async"):
        choose(ALL, ["bar"])


def test_what_is_compared_stands_side_by_side():
    order = names()
    assert order.index("actor-async") - order.index("bare") == 1
    assert order.index("ray-raywf") - order.index("ray-raw") == 1
    assert order.index("cpu-raywf") - order.index("cpu-raw") == 1


def test_a_peer_without_an_environment_is_named_with_the_command_that_builds_it(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.peer_rows.ENVIRONMENTS", tmp_path)
    reasons = missing(choose(ALL, ["dbos", "langgraph"]), None)
    assert set(reasons) == set(DBOS_ROWS + LANGGRAPH_ROWS)
    assert "make_peers.py dbos" in reasons["dbos-async-wal"]


def test_every_peer_has_a_program_and_pinned_versions():
    for peer in PEERS.values():
        lines = [line for line in peer.requirements.read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines)
        assert all(part.is_file() for part in map(type(peer.requirements), peer.command()[1:]))


def test_the_data_row_says_how_to_give_data(tmp_path):
    row = choose(ALL, ["langid"])
    assert "RAYWF_BENCH_DATA" in missing(row, None)["langid"]
    assert "is not a file" in missing(row, tmp_path / "none.csv")["langid"]


def test_arguments_have_the_defaults_that_the_readme_names(monkeypatch, tmp_path):
    monkeypatch.delenv("RAYWF_BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    given = arguments([])
    assert (given.rounds, given.dir, given.out) == (3, tmp_path / ".bench", tmp_path / ".bench" / "engine.json")
    assert given.data is None
    assert arguments(["--quick"]).rounds == 1
    assert arguments(["--quick", "--rounds", "2"]).rounds == 2
    monkeypatch.setenv("RAYWF_BENCH_DATA", "some.csv")
    assert arguments([]).data == tmp_path / "some.csv"
    with pytest.raises(SystemExit):
        arguments(["--rounds", "0"])


def test_sayiir_wants_a_server_with_its_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "pgcrypto" in str(_why_missing("pgcrypto", None))
    monkeypatch.setenv(VARIABLE, "postgresql://here")
    assert _why_missing("pgcrypto", None) is None
    assert all("pgcrypto" in row.needs for row in choose(ALL, ["pg-sayiir"]))
