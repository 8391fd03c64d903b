"""What was typed becomes values, or one line that says what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from raywf.cli.arguments import ABSENT, RunRequest, check_status, parse_json, parse_tags, read_value, run_request
from raywf.cli.place import place_of
from raywf.errors import InvalidInput, NotFound


def test_a_run_without_options() -> None:
    assert run_request("app:wf") == RunRequest("app:wf", ABSENT, again=("app:wf",))


def test_a_run_with_all_options() -> None:
    asked = run_request(
        "flows.py:wf",
        input='{"a": [1, null]}',
        id="x-1",
        tags=["team=blue", "empty="],
        address="local",
        timeout_s=2.5,
        priority=-3,
        detach=True,
        raw=True,
        quiet=True,
    )
    assert asked == RunRequest(
        "flows.py:wf",
        {"a": [1, None]},
        "x-1",
        2.5,
        -3,
        {"team": "blue", "empty": ""},
        "local",
        True,
        True,
        True,
        ("flows.py:wf", "--input", '{"a": [1, null]}', "--address", "local"),
    )


def test_null_is_not_the_same_as_no_input() -> None:
    assert run_request("a:b", input="null").value is None


def test_input_from_a_file_and_from_stdin(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('\ufeff{"é": 1}', encoding="utf-8")
    (tmp_path / "in.yaml").write_text("- 1\n- two\n", encoding="utf-8")
    assert read_value(f"@{tmp_path}/in.json", "--input") == {"é": 1}
    assert read_value(f"@{tmp_path}/in.yaml", "--input") == [1, "two"]
    assert read_value("-", "--input", read_stdin=lambda: "[1]") == [1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{'a': 1}", "--input: this is not JSON: line 1 column 2: Expecting property name"),
        ('{"a": 1,\n "b" 2}', "line 2 column 6: Expecting ':' delimiter"),
        ("sky", "A string is written '\"sky\"'"),
        ("NaN", "NaN is not a JSON value"),
        ("", "line 1 column 1: Expecting value"),
    ],
)
def test_broken_json_says_where(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_json(text, "--input")
    assert says in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.yaml"
    path.write_text("a: 1\nb: [1, 2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"in\.yaml: this is not YAML: line 3 column 1"):
        read_value(f"@{path}", "--input")
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="byte 0 is not UTF-8"):
        read_value(f"@{path}", "--input")


def test_a_missing_file_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.json").write_text("1")
    with pytest.raises(NotFound, match=r"Did you mean '@input\.json'"):
        read_value("@inputs.json", "--input")


@pytest.mark.parametrize("tag", ["blue", "=blue", ""])
def test_a_tag_needs_key_and_value(tag: str) -> None:
    with pytest.raises(InvalidInput, match="KEY=VALUE"):
        parse_tags([tag])


def test_a_tag_has_one_value() -> None:
    assert parse_tags(["a=1=2", "a=1=2"]) == {"a": "1=2"}
    with pytest.raises(InvalidInput, match="given twice"):
        parse_tags(["a=1", "a=2"])


def test_an_id_that_cannot_be_is_refused_before_anything_starts() -> None:
    with pytest.raises(InvalidInput, match="no white space"):
        run_request("a:b", id="two words")


def test_statuses_are_checked() -> None:
    assert check_status(None) is None
    assert check_status("waiting") == "waiting"
    with pytest.raises(InvalidInput, match="Did you mean 'failed'"):
        check_status("fail")


def test_a_next_command_repeats_only_what_the_environment_does_not_say() -> None:
    assert place_of(None, "default", {}).command("ls") == "raywf ls"
    assert place_of("memory://a b", "n", {}).command("show", "it's") == (
        "raywf show 'it'\"'\"'s' --store 'memory://a b' --namespace n"
    )
    env = {"RAYWF_STORE": "memory://a", "RAYWF_NAMESPACE": "n"}
    assert place_of("memory://a", "n", env).command("ls") == "raywf ls"
