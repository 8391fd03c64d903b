"""Whose memory is whose."""

import pytest

from benchmarks.processes import Process, family, pss_kb

ROLLUP = """\
55d0c0000000-7ffd00000000 ---p 00000000 00:00 0                          [rollup]
Rss:               66512 kB
Pss:               31337 kB
Pss_Dirty:         20000 kB
Pss_Anon:          19000 kB
Private_Dirty:     20000 kB
"""


def test_pss_is_the_total_and_not_one_of_its_parts():
    assert pss_kb(ROLLUP) == 31337


def test_a_rollup_without_pss_is_an_error_and_not_a_zero():
    with pytest.raises(ValueError, match="Pss"):
        pss_kb("Rss: 5 kB\n")


def test_descendants_of_a_marked_process_belong_to_it():
    """Ray's workers overwrite their environment; their parent's still has the mark."""
    processes = [
        Process(1, 0, "init", False),
        Process(10, 1, "raylet", True),
        Process(11, 10, "ray::WorkflowActor", False),
        Process(12, 11, "child of a worker", False),
        Process(20, 1, "somebody else", False),
        Process(21, 20, "their child", False),
    ]
    assert {process.pid for process in family(processes)} == {10, 11, 12}


def test_a_parent_that_is_gone_ends_the_search():
    assert family([Process(5, 99, "orphan", False)]) == []


def test_parents_in_a_circle_end_the_search():
    """Between two reads of /proc a process id can be used again."""
    assert family([Process(5, 6, "a", False), Process(6, 5, "b", False)]) == []


@pytest.mark.parametrize(
    ("title", "name"),
    [("/usr/bin/python3 -m x", "python3"), ("ray::WorkflowActor.run", "ray::WorkflowActor.run"), ("", "?")],
)
def test_a_process_is_called_what_a_person_would_call_it(title, name):
    assert Process(1, 0, title, True).name == name
