"""`raywf results`: what aggregators know, from the store alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic_core import to_json

from raywf.aggregation.evidence import Dossier, Said, Truth
from raywf.config import Settings
from raywf.journal import GroupCommit
from raywf.journal.factory import open_journal
from raywf.ports import OwnerRow
from raywf.runtime.aggregating import Aggregating
from raywf.runtime.clock import SystemClock
from raywf.runtime.spec import aggregator_lane
from tests.unit.cli.stores import FilledStore

Cli = Callable[..., Any]


async def tell(url: str, name: str) -> None:
    """Have an aggregator know 30 items of three sources, all with their truth."""
    journal = open_journal(url)
    me = OwnerRow(f"o-{name}", aggregator_lane("default", name), "host", 1, b"{}", 0.0, 0.0, False)
    owner = Aggregating(me, "default", name, journal, SystemClock(), GroupCommit)
    await owner.claim(Settings(store=url))
    for n in range(30):
        said = {
            "good": Said("x", 0.9, None, 1.0, 5.0),
            "poor": Said("x" if n % 3 == 0 else "y", 0.99, None, 1.0, 5.0),
            "quiet": Said("x" if n % 2 else "z", None, None, 1.0, 5.0),
        }
        await owner.absorb(to_json([[f"i-{n}", *Dossier(said, Truth("x", 9.0)).to_data()]]))
    await owner.park()
    await journal.close()


@pytest.fixture
def told(store: FilledStore) -> FilledStore:
    asyncio.run(tell(store.url, "triage"))
    return store


def test_sources_are_a_table_and_sentences(cli: Cli, told: FilledStore) -> None:
    ended = cli("results", "sources", "--store", told.url)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["SOURCE", "ANSWERS", "GOLD", "RIGHT", "AGREES", "TRUST", "AT", "LEAST", "COPIES"]
    assert lines[1].split()[:4] == ["good", "30", "30", "100.0%"]
    assert "30 items, 30 with known truth" in lines
    assert any(line.startswith("- good alone is right in 100.0% of 30 gold answers") for line in lines)
    assert any("poor claims to be sure" in line for line in lines)


def test_compare_is_a_matrix(cli: Cli, told: FilledStore) -> None:
    ended = cli("results", "compare", "triage", "--store", told.url)
    assert [line.split() for line in ended.out.splitlines()] == [
        ["DIFFER,", "%", "good", "poor", "quiet"],
        ["good", "·", "66.7", "50.0"],
        ["poor", "66.7", "·", "83.3"],
        ["quiet", "50.0", "83.3", "·"],
    ]


def test_calibration_says_what_was_claimed_and_came_true(cli: Cli, told: FilledStore) -> None:
    found = json.loads(cli("results", "calibration", "--json", "--store", told.url).out)
    assert found["aggregator"] == "triage"
    assert [(each["source"], each["gold"], each["right"]) for each in found["claims"]] == [
        ("good", 30, 30),
        ("poor", 30, 10),
    ]
    assert "0.9-1.0" in cli("results", "calibration", "--store", told.url).out


def test_compare_writes_a_page_and_a_drawing(cli: Cli, told: FilledStore, tmp_path: Path) -> None:
    ended = cli("results", "compare", "--html", "page.html", "--svg", "matrix.svg", "--store", told.url)
    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "matrix.svg").read_text().startswith("<svg")


async def tell_records(url: str) -> None:
    """One source knows vendors, the other totals; as whole records neither is ever right."""
    journal = open_journal(url)
    me = OwnerRow("o-r", aggregator_lane("default", "invoices"), "host", 1, b"{}", 0.0, 0.0, False)
    owner = Aggregating(me, "default", "invoices", journal, SystemClock(), GroupCommit)
    await owner.claim(Settings(store=url))
    for n in range(30):
        said = {
            "names": Said({"vendor": f"v{n}", "total": -1, "at": {"city": "x"}}, 0.9, None, 1.0, 5.0),
            "sums": Said({"vendor": "?", "total": n}, 0.6, None, 1.0, 5.0),
        }
        truth = Truth({"vendor": f"v{n}", "total": n, "at": {"city": "x"}}, 9.0)
        await owner.absorb(to_json([[f"i-{n}", *Dossier(said, truth).to_data()]]))
    await owner.park()
    await journal.close()


def test_records_are_looked_at_field_by_field(cli: Cli, store: FilledStore) -> None:
    asyncio.run(tell_records(store.url))

    def right(*more: str) -> dict[str, int]:
        shown = json.loads(cli("results", "sources", "--json", *more, "--store", store.url).out)
        return {each["source"]: each["right"] for each in shown["sources"]}

    assert right() == {"names": 0, "sums": 0}
    assert right("--field", "/vendor") == {"names": 30, "sums": 0}
    assert right("--field", "/total") == {"names": 0, "sums": 30}
    assert right("--field", "/at/city") == {"names": 30}
    claims = json.loads(cli("results", "calibration", "--field", "/total", "--json", "--store", store.url).out)[
        "claims"
    ]
    assert [(each["source"], each["right"]) for each in claims] == [("names", 0), ("sums", 30)]
    differ = json.loads(cli("results", "compare", "--field", "/total", "--json", "--store", store.url).out)["differ"]
    assert differ == [[0.0, 1.0], [1.0, 0.0]]
    missing = cli("results", "sources", "--field", "/totl", "--store", store.url)
    assert missing.code == 3
    assert (
        "no answer of aggregator 'invoices' has a field '/totl': there are /at, /at/city, /total, /vendor"
        in missing.err
    )
    assert cli("results", "sources", "--field", "total", "--store", store.url).code == 2


def test_the_rows_are_written_as_parquet(cli: Cli, told: FilledStore, tmp_path: Path) -> None:
    from pyarrow import parquet

    for command in ("compare", "sources", "calibration"):
        ended = cli("results", command, "--parquet", f"{command}.parquet", "--store", told.url)
        assert (ended.code, ended.out) == (0, "")
    table = parquet.read_table(tmp_path / "sources.parquet")
    assert table.column("source").to_pylist() == ["good", "quiet", "poor"]
    assert table.column("accuracy").to_pylist()[0] == 1.0
    pairs = parquet.read_table(tmp_path / "compare.parquet").to_pylist()
    assert {"source": "good", "other": "poor", "both": 30, "differ": 20, "share": pytest.approx(2 / 3)} in pairs
    assert parquet.read_table(tmp_path / "calibration.parquet").num_rows == 2


def test_what_is_not_there_is_said_with_what_is(cli: Cli, store: FilledStore) -> None:
    none = cli("results", "sources", "--store", store.url)
    assert none.code == 3
    assert "the first `engine.aggregator(NAME).merge(…)` makes one" in none.err
    asyncio.run(tell(store.url, "triage"))
    other = cli("results", "sources", "nobody", "--store", store.url)
    assert other.code == 3
    assert "there are triage" in other.err
    asyncio.run(tell(store.url, "panel"))
    assert cli("results", "sources", "--store", store.url).code == 2
    assert "name one: panel, triage" in cli("results", "sources", "--store", store.url).err


def test_the_merge_is_judged_as_well_and_over_time(cli: Cli, told: FilledStore) -> None:
    ended = cli("results", "calibration", "--store", told.url)
    assert ended.code == 0
    assert any(
        line.startswith("The merge (auto), each truth judged by the others: calibration error")
        for line in ended.out.splitlines()
    )
    shown = json.loads(cli("results", "calibration", "--json", "--strategy", "majority", "--store", told.url).out)
    assert shown["merged"]["golds"] == 30 and shown["merged"]["periods"][0]["golds"] == 30
    assert "DRIFT" not in ended.out
    assert cli("results", "calibration", "--strategy", "median", "--store", told.url).code == 2


def test_who_is_right_when(cli: Cli, told: FilledStore) -> None:
    ended = cli("results", "when", "--store", told.url)
    lines = ended.out.splitlines()
    assert lines[0].split() == ["TRUTH", "GOLD", "good", "poor", "quiet"]
    assert lines[1].split() == ["x", "30", "100.0%", "33.3%", "50.0%"]


def test_who_is_right_when_is_data_as_well(cli: Cli, told: FilledStore, tmp_path: Path) -> None:
    shown = json.loads(cli("results", "when", "--json", "--store", told.url).out)
    assert shown["right"] == [
        {
            "truth": "x",
            "sources": {
                name: {"right": right, "gold": 30} for name, right in (("good", 30), ("poor", 10), ("quiet", 15))
            },
        }
    ]
    file = tmp_path / "when.parquet"
    assert cli("results", "when", "--parquet", str(file), "--store", told.url).code == 0
    assert json.loads(pq.read_table(file).to_pylist()[0]["truth"]) == "x"


@pytest.mark.parametrize("how", [("compare", "--svg"), ("compare", "--html"), ("sources", "--parquet")])
def test_a_file_that_cannot_be_written_is_said_in_words(
    cli: Cli, told: FilledStore, tmp_path: Path, how: tuple[str, str]
) -> None:
    ended = cli("results", how[0], how[1], str(tmp_path / "nowhere" / "x"), "--store", told.url)
    assert ended.code == 2
    assert "cannot be written (No such file or directory)" in ended.err


def test_what_a_panel_costs(cli: Cli, told: FilledStore) -> None:
    prices = ("--price", "good=5", "--price", "poor=1", "--price", "quiet=0.5")
    ended = cli("results", "panel", *prices, "--target", "0.9", "--store", told.url)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].split() == ["PANEL", "PRICE", "RIGHT", "OF"]
    assert "The cheapest that is right 90% of the time: good, for 5 an item." in ended.out
    for bad, says in (
        ("good", "no price"),
        ("nobody=3", "its sources are good, poor, quiet"),
        ("good=-1", "at least 0"),
    ):
        refused = cli("results", "panel", "--price", bad, "--store", told.url)
        assert refused.code == 2 and says in refused.err.replace("\n", " "), refused.err
