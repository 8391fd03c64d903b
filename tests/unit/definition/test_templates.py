"""f-strings and str() with references in them are recorded, and filled at run time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf import DefinitionError, approval, task, when, workflow
from raywf.core.bindings import INPUT, Compare, Const, Ref, Template
from raywf.definition.templates import has_markers
from tests.unit.definition.drive import drive


@task
def make(n: Any = 1) -> Any:
    return n


@task
def use(*args: Any) -> Any:
    return args


def template_of(act: Callable[[Any, Any], Any]) -> Any:
    """The argument that ``act(make(), n)`` becomes."""

    @workflow
    def body(n: Any) -> Any:
        return use(act(make(), n))

    return body.plan.nodes[-1].args[0]


MADE, N = Ref(0), Ref(INPUT, ("n",))


@pytest.mark.parametrize(
    ("act", "parts"),
    [
        (lambda m, n: f"{m}", ((MADE, "", ""),)),
        (lambda m, n: str(m), ((MADE, "s", ""),)),
        (lambda m, n: f"{m!s}", ((MADE, "s", ""),)),
        (lambda m, n: f"{m!r}", ((MADE, "r", ""),)),
        (lambda m, n: repr(m), ((MADE, "r", ""),)),
        (lambda m, n: f"{m:.2f}", ((MADE, "", ".2f"),)),
        (lambda m, n: f"{m!r:>10}", ((MADE, "r", ">10"),)),
        (lambda m, n: format(str(m), ">10"), ((MADE, "s", ">10"),)),
        (lambda m, n: f"a {m['title']} b {n}!", ("a ", (Ref(0, ("title",)), "", ""), " b ", (N, "", ""), "!")),
        (lambda m, n: f"{m}{n}", ((MADE, "", ""), (N, "", ""))),
        (lambda m, n: "a" + str(m) + "b", ("a", (MADE, "s", ""), "b")),
        (lambda m, n: f"[{f'<{m}>'}]", ("[<", (MADE, "", ""), ">]")),
        (lambda m, n: "%s and %r" % (m, n), ((MADE, "s", ""), " and ", (N, "r", ""))),  # noqa: UP031
        (lambda m, n: "{:>5} {}".format(m, n), ((MADE, "", ">5"), " ", (N, "", ""))),  # noqa: UP032
        (lambda m, n: ", ".join([f"{m}", "x", str(n)]), ((MADE, "", ""), ", x, ", (N, "s", ""))),
        (lambda m, n: f"  {m} ".strip(), ((MADE, "", ""),)),
        (lambda m, n: f"{m > 1}", ((Compare(">", MADE, Const(b"1")), "", ""),)),
        (lambda m, n: f"{m == f'{n}'}", ((Compare("==", MADE, Template(((N, "", ""),))), "", ""),)),
        (lambda m, n: "plain {braces} %s", None),
    ],
)
def test_texts_are_recorded(act: Callable[[Any, Any], Any], parts: Any) -> None:
    found = template_of(act)
    assert found == (Const(b'"plain {braces} %s"') if parts is None else Template(parts))


def test_templates_are_found_in_structures_prompts_and_results() -> None:
    @workflow
    def body(n: Any) -> Any:
        made = make(n)
        asked = approval(f"Publish {made['title']!r:>8}?", data={"text": [f"<{made['title']}>"]})
        return {"asked": asked, "line": f"{n['title']}/{made['score']:.1f}"}

    result, running = drive(body, {"title": "sky", "score": 0.25})
    assert running.prompts == ["Publish    'sky'?"]
    assert result == {"asked": {"text": ["<sky>"]}, "line": "sky/0.2"}


@pytest.mark.parametrize(
    "act",
    [
        lambda m: f"{m}".upper(),
        lambda m: f"a{m}".upper(),
        lambda m: f"a{m}b".swapcase(),
        lambda m: str(m).split("."),
        lambda m: f"a{m}b"[2:],
        lambda m: f"a{m}b"[:-3],
        lambda m: f"a {m} b".replace("a", "x"),
        lambda m: f"{m}".replace("a", "b"),
        lambda m: json.dumps({"text": f"a {m}"}),
        lambda m: repr([f"a {m}"]),
        lambda m: f"{m}x".encode(),
        lambda m: len(str(m)),
        lambda m: 1 if str(m) else 2,
        lambda m: str(m) == "x",
        lambda m: str(m) in {"x": 1},
        lambda m: "x" in str(m),
        lambda m: f"{m:{m}}",
        lambda m: f"{f'{m:>5}':>10}",
        lambda m: {f"{m}": 1},
        lambda m: {f"x{m}": 1},
        lambda m: [c for c in f"{m}"],  # noqa: C416
        lambda m: str(m) * 2,
        lambda m: {f"x{m}", "b"},
    ],
)
def test_a_text_that_was_changed_is_refused(act: Callable[[Any], Any]) -> None:
    @workflow
    def body() -> Any:
        return use(act(make()))

    with pytest.raises(DefinitionError, match=r"test_templates.py:\d+: "):
        _ = body.definition


def test_a_marker_that_leaks_is_harmless_and_readable(capsys: pytest.CaptureFixture[str]) -> None:
    @workflow
    def body() -> Any:
        made = make()
        print(f"draft: {made['score']}")
        return made

    _ = body.definition
    assert "task 'make'['score']" in capsys.readouterr().out


def test_a_text_from_a_side_stays_in_that_side() -> None:
    kept: list[str] = []

    @workflow
    def body(n: int) -> Any:
        when(n > 1, then=lambda: kept.append(f"{make()}"))
        return use(kept[-1])

    with pytest.raises(DefinitionError, match="outside of the then side of 'when'"):
        _ = body.definition


def test_a_reference_formatted_into_an_object_is_refused() -> None:
    from pydantic import BaseModel

    class Letter(BaseModel):
        text: str

    @workflow
    def body() -> Any:
        return use(Letter(text=f"a {make()}"))

    with pytest.raises(DefinitionError, match="reference was f"):
        _ = body.definition


def _text() -> st.SearchStrategy[str]:
    return st.text().filter(lambda text: not has_markers(text))


_PLAIN = st.one_of(_text(), st.integers(), st.floats(allow_nan=False), st.none(), st.booleans())


@given(st.lists(st.one_of(_text(), st.integers(0, 3)), max_size=8), st.lists(_PLAIN, min_size=4, max_size=4))
def test_a_template_filled_in_is_the_f_string_evaluated(pieces: list[str | int], values: list[Any]) -> None:
    """Whatever stands between the references, the recorded text is what the f-string would have been."""

    def text(items: Any) -> str:
        return "".join(piece if isinstance(piece, str) else f"{items[piece]}" for piece in pieces)

    @workflow
    def body(items: Any) -> Any:
        return text(items)

    assert drive(body, values)[0] == text(values)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["", ">10", "<10", "^9", "+", "08", ",", "x", ".3f", "e"]))
def test_a_format_spec_means_the_same_later(value: int, spec: str) -> None:
    @workflow
    def body(n: Any) -> Any:
        return f"<{n:{spec}}>"

    assert drive(body, value)[0] == f"<{value:{spec}}>"


@given(_text())
def test_a_conversion_means_the_same_later(value: str) -> None:
    def texts(n: Any) -> list[str]:
        return [f"{n!r}", f"{n!s:>5}", f"<{n!a}>", ascii(n), f"{n!r:.3}"]

    @workflow
    def body(n: Any) -> Any:
        return texts(n)

    assert drive(body, value)[0] == texts(value)
