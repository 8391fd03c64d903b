"""``raywf.tasks.sql`` on SQLite: values are bound, a write happens once, and a reading writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import tasks, workflow
from raywf.definition.context import TaskContext, entered
from raywf.errors import DefinitionError, InvalidInput, WorkflowFailed
from raywf.tasks import SqlError, SqlResult, sql


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(tmp_path / "bank.db", isolation_level=None)
    db.execute("CREATE TABLE account (name TEXT PRIMARY KEY, cents INTEGER CHECK (cents >= 0), note BLOB)")
    db.execute("INSERT INTO account VALUES ('ann', 100, x'00ff'), ('bob', 5, NULL)")
    yield db
    db.close()


def url_of(db: sqlite3.Connection) -> str:
    return f"sqlite:///{db.execute('PRAGMA database_list').fetchone()[2]}"


def cents(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute("SELECT cents FROM account WHERE name = ?", (name,)).fetchone()[0])


PAY = "UPDATE account SET cents = cents - :cents WHERE name = :name RETURNING cents"


@workflow
def pay(url: str, name: str, amount: int):  # type: ignore[no-untyped-def]
    paid = tasks.sql(url, PAY, {"name": name, "cents": amount})
    left = tasks.sql(url, "SELECT name, cents, note FROM account WHERE name = ?", [name]).after(paid)
    return paid, left.rows


@pytest.mark.parametrize("fault", [None, "crash_before_commit", "crash_after_commit", "duplicate"])
def test_a_write_happens_once_whatever_dies(bank: sqlite3.Connection, fault: str | None) -> None:
    faults = None if fault is None else {"sql": fault}
    paid, left = raywf.testing.run(pay, url_of(bank), "ann", 30, faults=faults)
    assert (paid.rows, paid.count) == ([{"cents": 70}], 1)
    assert left == [{"name": "ann", "cents": 70, "note": b"\x00\xff"}]
    assert cents(bank, "ann") == 70
    assert bank.execute("SELECT count(*) FROM raywf_once").fetchone() == (1,)


def test_an_attempt_that_finds_its_key_is_given_the_first_result(bank: sqlite3.Connection) -> None:
    with entered(TaskContext("x1", "sql", 1, "x1/sql")):
        first = sql(url_of(bank), PAY, {"name": "ann", "cents": 30})
    with entered(TaskContext("x1", "sql", 2, "x1/sql")):
        assert sql(url_of(bank), PAY, {"name": "ann", "cents": 30}) == SqlResult(first.rows, 1, True)
    with entered(TaskContext("x2", "sql", 1, "x2/sql")):
        assert sql(url_of(bank), PAY, {"name": "ann", "cents": 30}).rows == [{"cents": 40}]


def test_the_same_key_for_another_statement_is_a_mistake(bank: sqlite3.Connection) -> None:
    with entered(TaskContext("x1", "sql", 1, "x1/sql")):
        sql(url_of(bank), PAY, {"name": "ann", "cents": 30})
        with pytest.raises(SqlError, match="another statement was run on this database before"):
            sql(url_of(bank), PAY, {"name": "ann", "cents": 31})
    assert cents(bank, "ann") == 70


def test_what_fails_leaves_nothing_and_may_be_tried_again(bank: sqlite3.Connection) -> None:
    with entered(TaskContext("x1", "sql", 1, "x1/sql")):
        with pytest.raises(SqlError, match="CHECK constraint failed") as failed:
            sql(url_of(bank), PAY, {"name": "bob", "cents": 30})
        assert failed.value.retryable is False
        bank.execute("UPDATE account SET cents = 50 WHERE name = 'bob'")
        assert sql(url_of(bank), PAY, {"name": "bob", "cents": 30}).repeated is False
    assert cents(bank, "bob") == 20


def test_a_database_that_is_locked_is_tried_again(bank: sqlite3.Connection) -> None:
    bank.execute("BEGIN IMMEDIATE")
    with pytest.raises(SqlError, match="locked") as failed:
        sql(url_of(bank), PAY, {"name": "ann", "cents": 1}, timeout=0.01)
    assert failed.value.retryable is True


def test_a_reading_cannot_write(bank: sqlite3.Connection) -> None:
    with pytest.raises(SqlError, match=r"readonly|query_only"):
        sql(url_of(bank), PAY, {"name": "ann", "cents": 1}, write=False)
    assert cents(bank, "ann") == 100
    assert sql(url_of(bank), "-- a comment\n/* another */ SELECT 1 AS one").rows == [{"one": 1}]
    tables = {name for (name,) in bank.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {"account"}, "a reading leaves no table behind"


def test_values_are_bound_and_never_become_sql(bank: sqlite3.Connection) -> None:
    name = "x' OR '1'='1"
    assert sql(url_of(bank), "SELECT * FROM account WHERE name = ?", [name]).rows == []


def test_of_too_many_rows_nothing_is_given_and_nothing_was_written(bank: sqlite3.Connection) -> None:
    with pytest.raises(SqlError, match="more than max_rows=1 rows"):
        sql(url_of(bank), "UPDATE account SET cents = 0 RETURNING name", max_rows=1)
    assert cents(bank, "ann") == 100


def test_a_statement_cannot_leave_its_transaction(bank: sqlite3.Connection) -> None:
    with pytest.raises(SqlError):
        sql(url_of(bank), "COMMIT")
    with pytest.raises(SqlError, match="one statement at a time"):
        sql(url_of(bank), "UPDATE account SET cents = 0; DROP TABLE account")
    assert cents(bank, "ann") == 100


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("mysql://host/x", "SELECT 1"), "no database that sql knows"),
        (("postgresql://ann:pw@host/x", "SELECT 1"), "has a password"),
        (("sqlite:////x.db", " "), "the statement is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused_while_the_graph_is_built(args: tuple[str, str], message: str) -> None:
    @workflow
    def wrong(x: int):  # type: ignore[no-untyped-def]
        return tasks.sql(*args)

    with pytest.raises(DefinitionError, match=message) as refused:
        _ = wrong.definition
    assert "pw" not in str(refused.value)


def test_a_reference_in_the_text_of_a_statement_is_refused() -> None:
    @workflow
    def wrong(name: str):  # type: ignore[no-untyped-def]
        return tasks.sql("sqlite:////x.db", f"SELECT * FROM account WHERE name = '{name}'")

    with pytest.raises(DefinitionError, match="would be SQL: write a placeholder"):
        _ = wrong.definition


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///bank.db", "is a relative path"),
        ("sqlite:////nowhere/x.db", "there is no database at"),
        ("sqlite:x", "no database that sql knows"),
    ],
)
def test_a_path_that_is_not_there_says_so(url: str, message: str) -> None:
    with pytest.raises((InvalidInput, SqlError), match=message):
        sql(url, "SELECT 1")


def test_the_url_may_be_a_secret(bank: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANK", url_of(bank))

    @workflow
    def ask(x: int):  # type: ignore[no-untyped-def]
        return tasks.sql(raywf.secret("BANK"), "SELECT count(*) AS n FROM account").rows[0]["n"]

    assert raywf.testing.run(ask, 1) == 2
    assert "bank.db" not in ask.definition.to_json()


def test_a_statement_that_is_wrong_fails_at_once(bank: sqlite3.Connection) -> None:
    @workflow
    def ask(url: Any):  # type: ignore[no-untyped-def]
        return tasks.sql(url, "SELEC 1", write=True)

    with pytest.raises(WorkflowFailed, match="syntax error") as failed:
        raywf.testing.run(ask, url_of(bank))
    assert failed.value.failure.attempt == 1
