"""What a program says, between whatever else is printed."""

from benchmarks.sample import emit, last_json


def test_the_last_result_counts_and_noise_does_not():
    output = (
        'warming up\n{"figures": {"a": 1}, "details": {}}\n{"other": 2}\n{"figures": {"a": 3}, "details": {}}\nbye\n'
    )
    assert last_json(output) == {"figures": {"a": 3}, "details": {}}


def test_no_result_is_none():
    assert last_json("hello\n{}\n") is None


def test_what_is_emitted_is_read_back(capsys):
    emit({"per_s": 1.5}, n=3)
    assert last_json(capsys.readouterr().out) == {"figures": {"per_s": 1.5}, "details": {"n": 3}}
