"""Charts: everything is on the page, and its JSON draws it again."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.drawing import Chart, Series, main, svg

DOCS = Path(__file__).parents[3] / "docs"


def chart(points: list[tuple[float, float]], *more: Series, is_log: bool = False) -> Chart:
    return Chart("A <title> & more", "tasks", "µs per task", (Series("raywf", points), *more), is_log)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(
    "points", [[(1, 3.0)], [(1000, 33.5), (50_000, 36.0)], [(1, 0.001), (2, 9e6)], [(1, 7.0), (16, 7.0)]]
)
def test_every_point_is_a_mark_within_the_frame_and_higher_values_are_higher(
    points: list[tuple[float, float]], is_log: bool
) -> None:
    marks = ET.fromstring(svg(chart(points, is_log=is_log))).findall("{*}circle")
    at = [(float(mark.attrib["cx"]), float(mark.attrib["cy"])) for mark in marks]
    assert len(at) == len(points)
    assert all(78 <= x <= 616 and 64 <= y <= 304 for x, y in at)
    assert [x for x, _ in at] == sorted(x for x, _ in at)
    assert [y for _, y in at] == sorted((y for _, y in at), reverse=True)


def test_the_vertical_axis_begins_at_nought_and_its_words_are_there() -> None:
    words = [each.text for each in ET.fromstring(svg(chart([(1000, 33.5), (50_000, 36.0)]))).findall("{*}text")]
    assert {"A <title> & more", "tasks", "µs per task", "0", "1,000", "50,000", "33.5", "36.0"} <= set(words)


def test_several_lines_have_a_legend_and_a_guide_has_no_marks() -> None:
    picture = ET.fromstring(svg(chart([(1, 5.0), (2, 9.0)], Series("linear", [(1, 5.0), (2, 10.0)], is_guide=True))))
    assert {"raywf", "linear"} <= {each.text for each in picture.findall("{*}text")}
    assert (len(picture.findall("{*}polyline")), len(picture.findall("{*}circle"))) == (2, 2)


def test_what_is_dark_for_one_reader_is_light_for_the_other() -> None:
    text = svg(chart([(1, 5.0)]))
    light, dark = text.split("prefers-color-scheme:dark")
    assert re.findall(r"\.bg\{fill:(#\w+)", light) == ["#fff"]
    assert re.findall(r"\.bg\{fill:(#\w+)", dark) == ["#0d1117"]


def test_a_chart_is_drawn_again_from_its_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = chart([(1, 5.0), (20, 9.5)])
    (tmp_path / "a.json").write_text(json.dumps({"machine": {}, "chart": drawn.to_data()}))
    monkeypatch.setattr("sys.argv", ["drawing", str(tmp_path / "a.json")])
    main()
    assert (tmp_path / "a.svg").read_text() == svg(drawn)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        svg(chart([(1, 5.0)], *(Series("a name " * 6, [(1, 5.0)]) for _ in range(2))))


def test_a_chart_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        svg(chart([]))


def test_the_curves_of_the_docs_are_what_their_figures_draw() -> None:
    files = sorted((DOCS / "curves").glob("*.json"))
    assert files
    for path in files:
        data = json.loads(path.read_text())
        assert data["machine"]["cpu"], path
        assert path.with_suffix(".svg").read_text(encoding="utf-8") == svg(Chart.of(data["chart"])), path
    page = (DOCS / "scale.md").read_text()
    assert {path.stem for path in files} == set(re.findall(r"\(curves/(\w+)\.svg\)", page))
