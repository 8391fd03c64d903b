"""Values between tasks: exactly what was given, or refused when it is produced."""

# ruff: noqa: DTZ901 - datetimes without a zone are values like others
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import os
import pathlib
import subprocess
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raywf.definition.values import EncodeError, dataref, decode, encode, is_large
from raywf.errors import CodeMissing, RaywfError
from tests.unit.runtime import kinds

ROOT = Path(__file__).resolve().parents[3]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ZONES = (
    st.none()
    | st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]).map(zoneinfo.ZoneInfo)
    | st.integers(-86_399, 86_399).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
    | st.just(dt.timezone(dt.timedelta(hours=1), "CET"))
)


def folded(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(strategy, st.sampled_from([0, 1])).map(lambda pair: pair[0].replace(fold=pair[1]))


HASHABLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=8)
    | st.dates()
    | folded(st.datetimes(timezones=ZONES, allow_imaginary=True))
    | folded(st.times())
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from([*kinds.Colour, *kinds.Level, *kinds.Word, *kinds.Right, kinds.Right(0), kinds.Mode(3)])
    | TEXT.map(pathlib.PurePosixPath)
    | TEXT.filter(lambda text: "\0" not in text).map(Path)
    | TEXT.map(pathlib.PureWindowsPath)
    | st.builds(kinds.FrozenPoint, st.integers())
    | st.builds(kinds.Frozen, x=st.integers())
)
HASHABLE_DEEP = st.recursive(
    HASHABLE, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
VALUES = st.recursive(
    HASHABLE | st.binary(max_size=8).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT, inner, max_size=3)
        | st.dictionaries(HASHABLE_DEEP, inner, max_size=3)
        | st.sets(HASHABLE_DEEP, max_size=4)
        | st.frozensets(HASHABLE_DEEP, max_size=4)
        | st.builds(kinds.Point, st.integers(), inner)
        | st.builds(kinds.Row, TEXT, inner)
        | st.builds(kinds.Old, inner, inner)
        | st.builds(kinds.GenericPoint, inner)
        | st.builds(kinds.Open.model_construct, a=st.integers(), z=inner)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, in the same order: what ``==`` forgives is looked at."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return bool(one == other) and sorted(type(x).__name__ for x in one) == sorted(type(x).__name__ for x in other)
    if isinstance(one, (dt.datetime, dt.time)):
        plain = bool(one.replace(tzinfo=None) == other.replace(tzinfo=None))
        return plain and one.fold == other.fold and repr(one.tzinfo) == repr(other.tzinfo)
    if dataclasses.is_dataclass(one) and hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    return bool(one == other)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_what_was_encoded_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    encoded = encode(value)
    json.loads(encoded)  # plain JSON, readable without us
    found = decode(encoded)
    assert same(found, value)
    assert encode(found) == encoded


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT | st.sampled_from(["$t", "$ref", "v", '"$t"', "$"]), TEXT | st.just('"$t"'), max_size=4))
def test_no_text_of_a_user_is_taken_for_a_tag_of_ours(value: dict[str, str]) -> None:
    assert decode(encode(value)) == value
    assert decode(encode([value, {"$t": value}])) == [value, {"$t": value}]


@given(st.floats())
def test_floats_come_back_bit_for_bit(value: float) -> None:
    for holder in (value, [value], {"x": value}, complex(value, -0.0)):
        found, given_ = decode(encode(holder)), holder
        assert repr(found) == repr(given_)


@pytest.mark.parametrize(
    "value",
    [
        10**4299, -(10**4300), 10**5000 + 7, [3**20_000], {10**6000: 1}, 2**63, -(2**64),
        decimal.Decimal("sNaN"), decimal.Decimal("-0E-50"), decimal.Decimal("Infinity"), decimal.Decimal("1.500"),
        5e-324, 1.7976931348623157e308, "", "\0", "\u2028 \ufeff \U0010ffff", b"", (), [], {}, set(), frozenset(),
        {1: "int", "1": "text", 1.5: "float", None: "none", (1, "a"): "tuple", b"1": "bytes"},
        {True: "a", 0: "b"}, [True, 1, 1.0], dt.timedelta(microseconds=-1), dt.time(1, 2, tzinfo=dt.timezone.utc),  # noqa: UP017
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime.min, dt.datetime.max, uuid.UUID(int=0), kinds.Colour.CRIMSON, kinds.Right.READ | kinds.Right.WRITE,
        kinds.Old(1, [2]), kinds.Outer(inner=kinds.Outer.Inner(x=1)), Path("/a/../b"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_edges(value: Any) -> None:
    found = decode(encode(value))
    if isinstance(value, decimal.Decimal):
        assert (type(found), str(found)) == (decimal.Decimal, str(value))
    else:
        assert same(found, value)


def test_nothing_that_was_decoded_is_shared() -> None:
    value = {"list": [1, [2]]}
    one, other = decode(encode(value)), decode(encode(value))
    one["list"][1].append(3)
    assert other == value == {"list": [1, [2]]}


# models and classes


def opened() -> kinds.Open:
    model = kinds.Open(a=5, z=(1, b"2"))
    model._secret, model._later = 7, {1: "x"}
    return model


@pytest.mark.parametrize(
    "value",
    [
        kinds.Ticket(title="a", tags=("x",)), kinds.Aliased(type="k"), opened(), kinds.Frozen(x=1),
        kinds.Box[int](x=1), kinds.Box(x="free"), kinds.Box[kinds.Box[int]](x=kinds.Box[int](x=1)),
        kinds.Pair[int, kinds.Ticket](x=1, y=kinds.Ticket(title="t")), kinds.NamedBox(x=[1]), kinds.Numbers([1, 2]),
        kinds.Box[kinds.Colour](x=kinds.Colour.RED), kinds.Ticket.model_construct(title=5),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_models_come_back_with_all_they_have(value: Any) -> None:
    found = decode(encode(value))
    assert found == value
    assert type(found) is type(value)
    assert vars(found) == vars(value)
    for attribute in ("model_fields_set", "model_extra", "__pydantic_private__"):
        assert getattr(found, attribute) == getattr(value, attribute)
    assert encode(found) == encode(value)


def test_a_model_keeps_what_it_holds_even_where_its_validators_would_not() -> None:
    """Decoding restores; it does not validate once more."""
    found = decode(encode(kinds.Aliased.model_construct(kind=7)))
    assert found.kind == 7


def test_what_an_object_can_compute_again_is_not_stored() -> None:
    model, point = kinds.Cached(x=1), kinds.Derived(2)
    assert model.lock is model.lock
    assert point.handle is point.handle
    assert decode(encode(model)) == model
    found = decode(encode(point))
    assert (found.x, found.twice, found.seen) == (2, 4, ["set beside the fields"])
    assert found.handle is not point.handle


def test_dataclasses_come_back_without_their_constructor() -> None:
    point = kinds.Derived(1)
    point.twice = 50
    assert decode(encode(point)).twice == 50
    assert decode(encode(kinds.Checked(3))) == kinds.Checked(3)


def test_a_dataclass_that_was_stored_before_it_had_a_field_has_the_default_of_it() -> None:
    stored = encode(kinds.Grown(3))
    earlier = stored.replace(b',"more":7,"those":[]', b"")
    assert earlier != stored and decode(earlier) == kinds.Grown(3)


def test_another_process_reads_the_same() -> None:
    """Generic models of generic models have no name of their own there."""
    values = [kinds.Box[kinds.Box[int]](x=kinds.Box[int](x=1)), kinds.Row("a", {1}), kinds.Colour.BLUE, {"b", "a"}]
    program = (
        "import sys; from raywf.definition.values import decode, encode\n"
        "data = sys.stdin.buffer.read(); value = decode(data)\n"
        "assert encode(value) == data, encode(value); print(value)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    done = subprocess.run(
        [sys.executable, "-c", program], input=encode(values), capture_output=True, cwd=ROOT, env=environment, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith("[Box[Box[int]](x=Box[int](x=1)), Row(name='a'")


@given(st.sets(HASHABLE_DEEP, max_size=8), st.randoms(use_true_random=False))
def test_a_set_has_one_encoding_whatever_the_order_it_was_built_in(value: set[Any], random: Any) -> None:
    shuffled = list(value)
    random.shuffle(shuffled)
    assert encode(set(shuffled)) == encode(value)
    assert encode(frozenset([frozenset(shuffled)])) == encode(frozenset([frozenset(value)]))


# refusals


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append({"me": value})
    return value


def local() -> Any:
    class Local(enum.Enum):
        A = 1

    return Local.A


REFUSED: list[tuple[str, Any, list[str]]] = [
    ("subclass of list", kinds.MyList([1]), ["MyList", "return list(value)"]),
    ("subclass of str", kinds.MyStr("a"), ["MyStr", "return str(value)"]),
    ("subclass of int", [kinds.MyInt(1)], ["MyInt", "return int(value)"]),
    ("OrderedDict", collections.OrderedDict(a=1), ["collections.OrderedDict", "return dict(value)"]),
    ("defaultdict", collections.defaultdict(list), ["defaultdict", "return dict(value)"]),
    ("Counter", {"x": collections.Counter("a")}, ["Counter", "return dict(value)"]),
    ("deque", collections.deque([1]), ["deque"]),
    ("range", range(3), ["range"]),
    ("generator", (x for x in "a"), ["generator", "return list(...) of it"]),
    ("keys", {}.keys(), ["dict_keys", "return list(...) of it"]),
    ("memoryview", memoryview(b"a"), ["memoryview"]),
    ("object", kinds.Opaque(), ["kinds.Opaque", "plain data"]),
    ("class", kinds.Point, ["type"]),
    ("function", len, ["builtin_function_or_method"]),
    ("exception", ValueError("x"), ["ValueError"]),
    ("exception that is a dataclass", kinds.Problem(1), ["Problem"]),
    ("dict that is a dataclass", kinds.Bag("a"), ["Bag", "return dict(value)"]),
    ("class inside a function", local(), ["local.<locals>.Local", "move the class to the top of its module"]),
    ("key of a dict", {kinds.Opaque(): 1}, ["Opaque"]),
    ("member of a model", kinds.Open(z=kinds.Opaque()), ["Opaque"]),
    ("generic over a form", kinds.Box[list[int]](x=[1]), ["Box[list[int]]", "class Named(Box[list[int]])"]),
    ("lone surrogate", "\ud800", ["UTF-8", "replace lone surrogates"]),
    ("lone surrogate deep inside", [{"a": "\udfff"}], ["UTF-8"]),
    ("lone surrogate in a key", {"\ud800": 1}, ["UTF-8"]),
    ("contains itself", cycle(), ["contains itself"]),
    ("deep", nested(300, lambda value: [value]), ["180 levels", "flatten it"]),
    ("a zone of somebody else", dt.datetime(2024, 1, 1, tzinfo=type("Z", (dt.tzinfo,), {"utcoffset": lambda *_: None})()),
     ["time zone", "zoneinfo.ZoneInfo"]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "says"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_come_back_exactly_is_refused_with_its_type_and_the_way_out(value: Any, says: list[str]) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(value)
    for words in says:
        assert words in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value], lambda value: (value,), lambda value: {"a": value}, lambda value: {1: value},
        lambda value: kinds.Row("a", value), lambda value: kinds.Point(1, value), lambda value: kinds.Open(z=value),
        lambda value: frozenset([value]),
    ],
    ids=["list", "tuple", "dict", "odd dict", "namedtuple", "dataclass", "model", "frozenset"],
)  # fmt: skip
def test_what_is_accepted_can_be_read_however_deep(wrap: Callable[[Any], Any]) -> None:
    """And a little deeper still, because results are gathered into lists and inputs."""
    for depth in range(40, 190):
        value = nested(depth, wrap)
        try:
            encoded = encode(value)
        except EncodeError:
            break
        deeper = b"[" * 10 + encoded + b"]" * 10
        decode(deeper)
        assert encode(decode(encoded)) == encoded


# decoding


def test_a_class_that_is_not_there_is_missing_code_and_named() -> None:
    for path in ("no.such.module:X", "tests.unit.runtime.kinds:Gone", "tests.unit.runtime.kinds:T"):
        with pytest.raises(CodeMissing, match=path):
            decode(json.dumps({"$t": "enum", "c": path, "v": "A"}).encode())


def test_classes_and_large_values_are_found_where_the_caller_says() -> None:
    data = encode(kinds.Frozen(x=1)).replace(b"tests.unit.runtime.kinds:Frozen", b"elsewhere:Frozen")
    assert decode(data, {"elsewhere:Frozen": kinds.Frozen}.__getitem__) == kinds.Frozen(x=1)
    blobs = {"h": b'[{"$t":"bytes","v":"AAE="}]', "raw": b"\0\1"}
    reference = dataref("h", 27, "json")
    assert is_large(reference)
    assert not is_large(encode({"$t": "dataref"}))
    assert decode(b"[" + reference + b"]", None, blobs.__getitem__) == [[b"\0\1"]]
    assert decode(dataref("raw", 2, "bytes"), None, blobs.__getitem__) == b"\0\1"
    with pytest.raises(RaywfError, match="large value h"):
        decode(reference)


def test_a_tag_of_a_newer_version_says_so() -> None:
    with pytest.raises(ValueError, match=r"unknown tag 'tensor'.*upgrade"):
        decode(b'{"$t":"tensor","v":1}')


def test_old_encodings_stay_readable() -> None:
    """These bytes are in stores: the tests of a later version must still pass on them."""
    stored = {
        b'{"$t":"decimal","v":"1.50"}': decimal.Decimal("1.50"),
        b'{"$t":"datetime","v":"2024-01-02T03:04:05","fold":0,"zone":"UTC"}':
            dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=zoneinfo.ZoneInfo("UTC")),
        b'{"$t":"datetime","v":"2024-01-02T03:04:05","fold":0,"offset":3600.0}':
            dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        b'{"$t":"dict","v":[[1,"a"],["$x",2]]}': {1: "a", "$x": 2},
        b'{"$t":"set","v":[1,2]}': {1, 2},
        b'{"$t":"tuple","v":[1,{"$t":"bytes","v":"AA=="}]}': (1, b"\0"),
        b'{"$t":"model","c":"tests.unit.runtime.kinds:Frozen","v":{"x":1},"set":["x"]}': kinds.Frozen(x=1),
    }  # fmt: skip
    for data, value in stored.items():
        assert decode(data) == value


def test_the_sign_of_zero_and_the_odd_ones_are_kept() -> None:
    assert math.copysign(1, decode(encode(-0.0))) == -1
    assert math.isnan(decode(encode([math.nan]))[0])
    assert decode(encode([math.inf, -math.inf])) == [math.inf, -math.inf]
