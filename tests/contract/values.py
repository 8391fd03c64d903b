"""Values that go from task to task, and the classes they are made of. A module of its own, so that every process can import it."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import numpy as np
import pyarrow as pa
import pydantic


class Colour(enum.Enum):
    RED = "red"
    BLUE = ("b", 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Address(pydantic.BaseModel):
    street: str
    number: int = 1


class HomeAddress(Address):
    floor: int = 0


class Person(pydantic.BaseModel):
    name: str
    born: dt.date
    at: Address
    tags: set[str] = set()
    scores: dict[int, tuple[int, ...]] = {}
    money: decimal.Decimal = decimal.Decimal(0)


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    inner: int = pydantic.Field(alias="outerName")


T = TypeVar("T")


class Box(pydantic.BaseModel, Generic[T]):
    content: T


@dataclass
class Span:
    start: int
    end: int
    label: Colour = Colour.RED
    inside: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pair:
    left: Any
    right: Any = None


class Coordinates(NamedTuple):
    x: float
    y: float


class Options(TypedDict):
    depth: int
    names: list[str]


class Stranger:
    """Nobody knows how to write this one down."""

    def __init__(self) -> None:
        self.secret = 1


class Text(str):
    __slots__ = ()


UTC = dt.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def table() -> pa.Table:
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())], metadata={"made": "by hand"})
    return pa.table({"id": [1, 2, None], "text": ["a", None, "ü"]}, schema=schema)


MUST: dict[str, tuple[Any, Callable[[], Any]]] = {
    "none": (None, lambda: None),
    "bool": (bool, lambda: True),
    "int": (int, lambda: 7),
    "huge-int": (int, lambda: 2**200),
    "float": (float, lambda: 0.1),
    "whole-float": (float, lambda: 1.0),
    "infinite": (float, lambda: -math.inf),
    "nan": (float, lambda: math.nan),
    "text": (str, lambda: 'ü 🎉 \x00 "\\'),
    "list": (list[int], lambda: [1, 2]),
    "empty": (list[int], list),
    "dict": (dict[str, Any], lambda: {"a": {"b": [None, True]}}),
    "dollar-keys": (dict[str, Any], lambda: {"$ref": "a", "$type": "b", "__type__": 1, "$": {"$bytes": "x"}}),
    "tuple": (tuple[int, str], lambda: (1, "a")),
    "nested-tuple": (list[tuple[int, ...]], lambda: [(1, 2), ()]),
    "set": (set[int], lambda: {3, 1, 2}),
    "frozenset": (frozenset[str], lambda: frozenset({"a"})),
    "set-of-tuples": (set[tuple[int, str]], lambda: {(1, "a"), (2, "b")}),
    "bytes": (bytes, lambda: bytes(range(256))),
    "naive-datetime": (dt.datetime, lambda: dt.datetime(2024, 2, 29, 1, 2, 3, 456789)),  # noqa: DTZ001
    "datetime": (dt.datetime, lambda: dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)),
    "offset-datetime": (
        dt.datetime,
        lambda: dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
    ),
    "date": (dt.date, lambda: dt.date(2024, 2, 29)),
    "time": (dt.time, lambda: dt.time(1, 2, 3, 4)),
    "timedelta": (dt.timedelta, lambda: dt.timedelta(days=-1, microseconds=5)),
    "decimal": (decimal.Decimal, lambda: decimal.Decimal("1.10")),
    "enum": (Colour, lambda: Colour.RED),
    "tuple-enum": (Colour, lambda: Colour.BLUE),
    "int-enum": (Level, lambda: Level.HIGH),
    "str-enum": (Word, lambda: Word.YES),
    "uuid": (uuid.UUID, lambda: uuid.UUID(int=2**100)),
    "int-keys": (dict[int, str], lambda: {1: "a", 2: "b"}),
    "tuple-keys": (dict[tuple[int, str], int], lambda: {(1, "a"): 1}),
    "mixed-keys": (dict[Any, Any], lambda: {1: "int", "1": "text", None: 0, (1,): Colour.RED}),
    "enum-keys": (dict[Colour, int], lambda: {Colour.RED: 1}),
    "date-keys": (dict[dt.date, int], lambda: {dt.date(2024, 1, 1): 1}),
    "model": (
        Person,
        lambda: Person(
            name="a",
            born=dt.date(2000, 1, 1),
            at=Address(street="s"),
            tags={"x"},
            scores={1: (2, 3)},
            money=decimal.Decimal("1.50"),
        ),
    ),
    "models": (list[Address], lambda: [Address(street="a"), Address(street="b", number=2)]),
    "aliased-model": (Aliased, lambda: Aliased(outerName=4)),
    "generic-model": (Box[int], lambda: Box[int](content=3)),
    "dataclass": (Span, lambda: Span(1, 2, Colour.BLUE, [Span(3, 4)])),
    "slots-dataclass": (Pair, lambda: Pair(1, (2, {3}))),
    "dataclasses": (dict[str, Span], lambda: {"a": Span(1, 2)}),
    "optional": (Address | None, lambda: Address(street="s")),
    "typed-dict": (Options, lambda: Options(depth=1, names=["a"])),
    "array": (np.ndarray, lambda: np.arange(6, dtype=np.int16).reshape(2, 3)),
    "float-array": (np.ndarray, lambda: np.array([0.1, np.nan, np.inf], dtype=np.float32)),
    "bool-array": (np.ndarray, lambda: np.array([True, False])),
    "scalar-array": (np.ndarray, lambda: np.array(3.5)),
    "empty-array": (np.ndarray, lambda: np.empty((0, 4))),
    "arrays": (dict[str, np.ndarray], lambda: {"a": np.ones(3), "b": np.zeros((2, 2))}),
    "table": (pa.Table, table),
    "empty-table": (pa.Table, lambda: table().slice(0, 0)),
    "tables": (list[pa.Table], lambda: [table(), table()]),
    "record-batch": (pa.RecordBatch, lambda: pa.record_batch({"a": [1, 2]})),
    "arrow-array": (pa.Array, lambda: pa.array([1, None, 3])),
}

# Round-trip exactly, or refused when produced: which one is not promised.
EITHER: dict[str, Callable[[], Any]] = {
    "named-tuple": lambda: Coordinates(1.0, 2.0),
    "ordered-dict": lambda: collections.OrderedDict(b=1, a=2),
    "default-dict": lambda: collections.defaultdict(list, a=[1]),
    "counter": lambda: collections.Counter("aab"),
    "deque": lambda: collections.deque([1, 2], maxlen=5),
    "str-subclass": lambda: Text("a"),
    "flag": lambda: Rights.READ | Rights.WRITE,
    "zone-datetime": lambda: dt.datetime(2024, 7, 1, tzinfo=BERLIN),
    "folded-datetime": lambda: dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    "aware-time": lambda: dt.time(1, tzinfo=UTC),
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "complex": lambda: 1 + 2j,
    "fraction": lambda: fractions.Fraction(1, 3),
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "range": lambda: range(3),
    "slice": lambda: slice(1, 2),
    "surrogate": lambda: "\ud800",
    "numpy-int": lambda: np.int32(5),
    "numpy-float": lambda: np.float64(0.1),
    "numpy-float-in-list": lambda: [np.float64(0.1)],
    "numpy-bool": lambda: np.bool_(True),
    "numpy-datetime": lambda: np.array(["2024-01-01"], dtype="datetime64[D]"),
    "numpy-text": lambda: np.array(["a", "bc"]),
    "numpy-structured": lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "numpy-objects": lambda: np.array([{}, None], dtype=object),
    "numpy-fortran": lambda: np.asfortranarray(np.arange(6).reshape(2, 3)),
    "numpy-big-endian": lambda: np.arange(3, dtype=">i4"),
    "chunked-array": lambda: pa.chunked_array([[1], [2, 3]]),
    "arrow-scalar": lambda: pa.scalar(3),
    "arrow-schema": lambda: pa.schema([("a", pa.int8())]),
    "dictionary-table": lambda: pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()}),
    "decimal-nan": lambda: decimal.Decimal("NaN"),
    "decimal-exponent": lambda: decimal.Decimal("1E+5"),
    "negative-zero": lambda: -0.0,
    "nan-in-list": lambda: [math.nan],
    "subclass-in-field": lambda: Person(name="a", born=dt.date(2000, 1, 1), at=HomeAddress(street="s", floor=3)),
    "subclass-in-dataclass": lambda: Pair(HomeAddress(street="s", floor=3)),
    "generator": lambda: (n for n in range(3)),
    "function": lambda: len,
    "class": lambda: Address,
    "module": lambda: math,
    "exception": lambda: ValueError("x"),
    "stranger": Stranger,
    "stranger-in-list": lambda: [Stranger()],
    "not-there": lambda: ...,
}
EITHER["itself"] = lambda: _loop()


def _loop() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type, all the way down."""
    if type(left) is not type(right):
        return False
    match left:
        case float():
            return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
                left != left and right != right
            )
        case decimal.Decimal():
            return str(left) == str(right)
        case dt.datetime() | dt.time():
            return left == right and repr(left) == repr(right)
        case np.ndarray():
            return left.dtype == right.dtype and left.shape == right.shape and _same_bytes(left, right)
        case pa.Table() | pa.RecordBatch():
            return left.equals(right, check_metadata=True)
        case dict():
            keys = all(any(same(k, j) for j in right) for k in left)
            return keys and list(left) == list(right) and all(same(left[k], right[k]) for k in left)
        case list() | tuple() | collections.deque():
            return len(left) == len(right) and all(map(same, left, right))
        case set() | frozenset():
            return left == right and all(any(same(k, j) for j in right) for k in left)
        case pydantic.BaseModel():
            return same(dict(left), dict(right))
        case Span():
            return left == right and same(left.label, right.label)
        case Pair():
            return same(left.left, right.left) and same(left.right, right.right)
    return bool(left == right)


def _same_bytes(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype == object:
        return left.tolist() == right.tolist()
    return left.tobytes() == right.tobytes()
