"""Pictures of workflows: places that can be read, SVG that is well formed, states in colour and in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.cli.graph.layout import MAX_BENDS, lay_out, layers_of, spread
from raywf.cli.graph.picture import INPUT, RESULT, Edge, Node, Picture, picture_of
from raywf.cli.graph.svg import columns, to_svg
from tests.unit.cli import flows
from tests.unit.cli.stores import COMPLETED, FAILED, FilledStore

Cli = Callable[..., Any]
SVG = "{http://www.w3.org/2000/svg}"
FLOWS = str(Path(flows.__file__))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, float], list[tuple[int, int]]]:
    """Nodes with widths, and arrows that lead to later nodes only."""
    count = draw(st.integers(1, 14))
    widths = draw(st.lists(st.integers(10, 300), min_size=count, max_size=count))
    pairs = list(itertools.combinations(range(count), 2))
    arrows = draw(st.lists(st.sampled_from(pairs), max_size=25)) if pairs else []
    return {at: float(width) for at, width in enumerate(widths)}, arrows


@settings(deadline=None)  # how long a busy machine takes is no fault of the layout
@given(graphs())
def test_no_two_nodes_overlap_and_nothing_leaves_the_page(
    graph: tuple[dict[int, float], list[tuple[int, int]]],
) -> None:
    widths, arrows = graph
    layout = lay_out(widths, arrows, gap=20)
    boxes = {key: (layout.centers[key][0] - width / 2, width, layout.centers[key][1]) for key, width in widths.items()}
    for a, b in itertools.combinations(boxes.values(), 2):
        if a[2] == b[2]:
            left, right = sorted((a, b))
            assert left[0] + left[1] + 20 <= right[0] + 0.01
    assert all(x >= -0.01 and x + width <= layout.width + 0.01 for x, width, _ in boxes.values())


@given(graphs())
def test_arrows_lead_down_from_layer_to_layer(graph: tuple[dict[int, float], list[tuple[int, int]]]) -> None:
    widths, arrows = graph
    layout = lay_out(widths, arrows)
    for (source, target), route in layout.routes.items():
        assert route[0] == layout.centers[source]
        assert route[-1] == layout.centers[target]
        assert all(above[1] < below[1] for above, below in itertools.pairwise(route))


@given(graphs())
def test_the_same_graph_always_looks_the_same(graph: tuple[dict[int, float], list[tuple[int, int]]]) -> None:
    assert lay_out(*graph) == lay_out(*graph)


@given(st.lists(st.tuples(st.floats(-500, 500), st.integers(1, 100)), min_size=1, max_size=20))
def test_spreading_keeps_order_and_distance(wishes: list[tuple[float, int]]) -> None:
    widths = [float(width) for _, width in wishes]
    centers = spread([wish for wish, _ in wishes], widths, 10)
    for at in range(len(centers) - 1):
        assert centers[at + 1] - centers[at] >= (widths[at] + widths[at + 1]) / 2 + 10 - 1e-6


def test_what_fits_stays_where_it_wishes_to_be() -> None:
    assert spread([0, 100, 300], [20, 20, 20], 10) == [0, 100, 300]
    assert spread([0, 0], [20, 20], 10) == [-15, 15]


def test_a_diamond_crosses_nothing() -> None:
    layout = lay_out(dict.fromkeys(range(6), 40.0), [(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)])
    order = [sorted((1, 2), key=lambda key: layout.centers[key][0]), sorted((3, 4), key=lambda k: layout.centers[k][0])]
    assert order in ([[1, 2], [4, 3]], [[2, 1], [3, 4]])


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        layers_of([1, 2], [(1, 2), (2, 1)])


def test_a_thousand_tasks_in_a_chain_that_all_read_the_input_are_laid_out() -> None:
    count = 1000
    arrows = [(at, at + 1) for at in range(count - 1)] + [(0, at) for at in range(2, count)]
    assert sum(target - source - 1 for source, target in arrows) > MAX_BENDS
    layout = lay_out(dict.fromkeys(range(count), 50.0), arrows)
    assert len({y for _, y in layout.centers.values()}) == count


def test_nothing_at_all_has_no_size() -> None:
    assert (lay_out({}, []).width, lay_out({}, []).height) == (0, 0)


# what is drawn


def test_the_picture_of_a_workflow() -> None:
    picture = picture_of(flows.review.definition)
    assert picture.title == "review (version 2)"
    assert [(node.key, node.kind, node.label, node.note, node.mapped) for node in picture.nodes] == [
        (INPUT, "input", "question", "input", False),
        (0, "call", "search", "", False),
        (1, "call", "summarize × n", "", True),
        (2, "approval", "approval", "asks a person", False),
        (3, "call", "publish", "", False),
        (RESULT, "result", "result", "", False),
    ]
    assert set(picture.edges) == {
        Edge(INPUT, 0),
        Edge(0, 1),
        Edge(INPUT, 2),
        Edge(1, 3),
        Edge(2, 3),
        Edge(3, RESULT),
    }


def test_sides_are_labelled() -> None:
    edges = set(picture_of(flows.branching.definition).edges)
    assert Edge(1, 2, "then") in edges
    assert Edge(1, RESULT, "otherwise") in edges


def test_the_arrows_are_those_of_the_mermaid_drawing() -> None:
    for flow in (flows.review, flows.branching, flows.two_persons, flows.parent, flows.hello, flows.signalled):
        names = {INPUT: "input", RESULT: "result"}
        drawn = set()
        for edge in picture_of(flow.definition).edges:
            arrow = "-.->" if edge.dotted else f"-->|{edge.label}|" if edge.label else "-->"
            source, target = (names.get(key, f"t{key}") for key in (edge.source, edge.target))
            drawn.add(f"{source} {arrow} {target}")
        lines = [line.strip() for line in flow.definition.to_mermaid().splitlines()]
        assert drawn == {line for line in lines if "-->" in line or "-.->" in line}


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_svg_says_every_name_and_state_in_words() -> None:
    svg = to_svg(picture_of(flows.review.definition), {0: "completed", 1: "running", 3: "failed"}, "running")
    assert texts(svg)[0] == "review (version 2): ● running"
    assert {"search", "✔ completed", "summarize × n", "● running", "✖ failed", "asks a person"} <= set(texts(svg))


def test_nothing_in_an_svg_is_loaded_or_run() -> None:
    svg = to_svg(picture_of(flows.branching.definition))
    assert not [each for each in ("<script", "href", "url(http", "@import", "<image") if each in svg]


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_makes_well_formed_svg(title: str, label: str) -> None:
    clean = "".join(char for char in title + label if not "\ud800" <= char <= "\udfff")
    picture = Picture(clean, (Node(0, "call", clean, clean), Node(1, "when", "b", "")), (Edge(0, 1, clean),))
    assert ElementTree.fromstring(to_svg(picture)) is not None


def test_wide_characters_take_two_columns() -> None:
    assert columns("日本a") == 5


# the commands


def test_graph_of_a_target(cli: Cli) -> None:
    mermaid = cli("graph", f"{FLOWS}:review")
    assert (mermaid.code, mermaid.out) == (0, flows.review.definition.to_mermaid())
    svg = cli("graph", f"{FLOWS}:review", "--format", "svg")
    assert svg.code == 0
    assert "publish" in texts(svg.out)


def test_graph_of_an_execution_has_its_states(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, FAILED, id="x-1")
    assert "class t3 failed" in cli("graph", "x-1", "--store", store.url).out
    svg = cli("graph", "x-1", "--store", store.url, "--format", "svg").out
    assert "review (version 2): ✖ failed" in texts(svg)


def test_an_id_with_a_colon_is_found_too(cli: Cli, store: FilledStore) -> None:
    store.add(flows.review, COMPLETED, id="run:1")
    assert cli("graph", "run:1", "--store", store.url).code == 0
    missing = cli("graph", "run:2", "--store", store.url)
    assert missing.code == 3
    assert missing.err.startswith("raywf: target 'run:2'")


def test_graph_into_a_file(cli: Cli, tmp_path: Path) -> None:
    ended = cli("graph", f"{FLOWS}:hello", "--format", "svg", "--output", str(tmp_path / "a.svg"))
    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
    assert cli("graph", f"{FLOWS}:hello", "-o", str(tmp_path / "no" / "a.svg")).code == 2


def test_an_unknown_format_is_wrong_usage(cli: Cli) -> None:
    ended = cli("graph", f"{FLOWS}:hello", "--format", "sgv")
    assert ended.code == 2
    assert "Did you mean 'svg'?" in ended.err


def test_validate_says_what_was_checked(cli: Cli) -> None:
    ended = cli("validate", f"{FLOWS}:review", "--input", '"sky"')
    assert ended.code == 0
    assert ended.out.splitlines()[:5] == [
        f"review (version 2) is valid: {FLOWS}:review",
        "  tasks       4 (3 call, 1 approval): ids unique, dependencies known, no cycle",
        "  functions   3: each is there and takes its arguments",
        "  parameters  question",
        "  input       fits the parameters",
    ]


@pytest.mark.parametrize(
    ("name", "text", "code", "says"),
    [
        ("a.json", '{"id": "a", "tasks": [}', 2, "a.json:1: this is not JSON: Expecting value at column 23"),
        ("a.yaml", "id: a\ntasks: [\n  }", 2, "a.yaml:3: this is not YAML"),
        ("a.yaml", "id: a\ntasks:\n  - {id: t, function: 'no.such:f'}\n", 2, "'no.such:f'"),
        ("a.yaml", "id: a\ntasks:\n  - {id: t, gather: [{$ref: t}]}\n", 2, "t → t"),
        ("b.py", "import raywf\n", 3, "does not name a workflow"),
    ],
)
def test_validate_names_file_line_and_mistake(
    cli: Cli, tmp_path: Path, name: str, text: str, code: int, says: str
) -> None:
    (tmp_path / name).write_text(text)
    ended = cli("validate", name)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


def test_validate_checks_an_input_against_the_parameters(cli: Cli) -> None:
    ended = cli("validate", f"{FLOWS}:branching", "--input", '"much"')
    assert ended.code == 2
    assert "parameter 'score'" in ended.err


def test_validate_as_json(cli: Cli) -> None:
    import json

    found = json.loads(cli("validate", f"{FLOWS}:review", "--json").out)
    assert found["valid"] is True
    assert found["kinds"] == {"call": 3, "approval": 1}
