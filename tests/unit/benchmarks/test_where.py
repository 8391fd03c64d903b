"""Where the time goes: whose a frame is, and that parts add up to what the loop used."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import where
from benchmarks.machine import ROOT


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("raywf/core/codec.py", "encoding"),
        ("raywf/core/moves/draft.py", "brain"),
        ("raywf/journal/sqlite/writer.py", "commit, the buffer"),
        ("raywf/definition/values.py", "encoding"),
        ("raywf/definition/context.py", "tasks"),
        ("raywf/runtime/attempts.py", "tasks"),
        ("raywf/runtime/outbox.py", "submits and answers"),
        ("raywf/runtime/host.py", "hands"),
        ("benchmarks/workflows.py", "tasks"),
        ("benchmarks/where.py", None),
    ],
)
def test_a_file_belongs_to_a_part(file: str, part: str | None) -> None:
    assert (ROOT / file).is_file()
    assert where._part_of_file(str(ROOT / file)) == part


def test_a_library_is_its_callers() -> None:
    assert where._part_of_file("/usr/lib/python3.11/json/encoder.py") is None
    assert where.part_of(None) == "asyncio"


def test_an_owner_without_ray_does_the_same_work(tmp_path: Path) -> None:
    looks = where.Looks()
    loop_s, all_s = where.once(3000, tmp_path, looks)
    assert 0 < loop_s <= all_s
    assert 0 < sum(looks.spent.values()) <= loop_s
    assert set(looks.spent) <= {part for part, _ in where.PARTS}
    assert list(tmp_path.iterdir()) == []


def test_the_parts_of_the_loop_add_up_to_what_it_used_unseen() -> None:
    looks = where.Looks()
    looks.spent.update({"brain": 3, "encoding": 1})
    real = {"client_us": 30.0, "loop_us": 110.0, "others_us": 4.0, "writer_us": 25.0, "per_s": 8_000.0}
    text = where.table(10, looks, (0.001, 0.0012), (0.0011, 0.0013), real)
    rows = {line.split("  ")[0]: line.split()[-len(line.split()) :] for line in text.splitlines()}
    assert "75.0" in rows["brain"] and "25.0" in rows["encoding"]
    assert "14.0" in rows["call"]  # 110 - 100 of the loop, and 4 of Ray's processes
    assert "169" in rows["all"]  # 30 + 14 + 100 + 25
