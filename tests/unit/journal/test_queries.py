"""Named statements: each one is valid, and the same one runs for many rows."""

from __future__ import annotations

import apsw
import pytest

from raywf.journal.sqlite import queries
from raywf.journal.sqlite.migrations import load, migrate
from raywf.journal.sqlite.queries import query, run_many


@pytest.fixture
def db() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    migrate(db, load())
    return db


@pytest.mark.parametrize("name", sorted(queries._all()))
def test_every_statement_fits_the_schema(db: apsw.Connection, name: str) -> None:
    sql = query(name)
    nothing = (None,) * sql.count("?") if "?" in sql else _Nulls()
    assert db.execute(f"EXPLAIN {sql}", nothing).fetchall()


class _Nulls(dict[str, None]):
    def __missing__(self, name: str) -> None:
        return None


@pytest.mark.parametrize("name", ["open_keys", "waiting_commands", "history", "execution_by_id", "list_children"])
def test_frequent_questions_use_an_index(db: apsw.Connection, name: str) -> None:
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query(name)}", _Nulls())]
    assert any("SEARCH" in step for step in plan)
    assert not any(step.startswith("SCAN") and "json_each" not in step and "VIRTUAL" not in step for step in plan), plan


def test_the_evidence_of_some_items_is_not_looked_for_among_all_of_it(db: apsw.Connection) -> None:
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query('evidence_of')}", _Nulls())]
    assert "SEARCH evidence USING INDEX evidence_by_item (aggregator=? AND item=?)" in plan, plan


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 511, 512, 513, 1300])
def test_many_rows_arrive_in_order(db: apsw.Connection, count: int) -> None:
    rows = [(number, 1, 1.5, None, "task_completed", f"t-{number}", 1, b"x") for number in range(count)]
    run_many(db, "insert_event", rows)
    assert db.execute("SELECT * FROM events ORDER BY key").fetchall() == rows


def test_many_rows_take_few_steps(db: apsw.Connection) -> None:
    """Each step lets go of the GIL, and beside a busy thread each return may cost its whole turn."""
    steps: list[str] = []
    db.set_exec_trace(lambda cursor, sql, bindings: steps.append(sql) or True)
    run_many(db, "insert_event", [(number, 1, 1.5, None, "k", None, None, None) for number in range(4000)])
    assert len(steps) <= 20


@pytest.mark.parametrize("name", ["insert_event", "insert_execution", "change_status"])
def test_no_statement_is_too_long_to_be_kept(name: str) -> None:
    assert queries._most(name) >= 128
    assert len(queries._for_rows(name, queries._most(name))) <= queries._LONGEST
