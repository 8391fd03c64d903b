"""Classes for values: stored values name them by module, so they live at the top of one."""

from __future__ import annotations

import collections
import dataclasses
import enum
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

T = TypeVar("T")
U = TypeVar("U")


class Ticket(BaseModel):
    title: str
    score: float = 0.0
    tags: tuple[str, ...] = ()


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    kind: str = Field(alias="type")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1
    _secret: int = PrivateAttr(default=3)
    _later: Any


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int


class Cached(BaseModel):
    x: int

    @cached_property
    def lock(self) -> object:
        return object()


class Box(BaseModel, Generic[T]):
    x: T


class Pair(BaseModel, Generic[T, U]):
    x: T
    y: U


class NamedBox(Box[list[int]]):
    pass


class Numbers(RootModel[list[int]]):
    pass


class Outer(BaseModel):
    class Inner(BaseModel):
        x: int

    inner: Inner


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None
    count: ClassVar[int] = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenPoint:
    x: int
    y: Any = dataclasses.field(default=None, compare=True)


@dataclasses.dataclass
class Derived:
    x: int
    twice: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.x
        self.seen = ["set beside the fields"]

    @cached_property
    def handle(self) -> object:
        return object()


@dataclasses.dataclass
class GenericPoint(Generic[T]):
    x: T


@dataclasses.dataclass
class Grown:
    x: int
    more: int = 7
    those: list[int] = dataclasses.field(default_factory=list)


@pydantic_dataclass
class Checked:
    x: int


@dataclasses.dataclass
class Problem(Exception):
    code: int


@dataclasses.dataclass
class Bag(dict):  # type: ignore[type-arg]
    label: str


class Colour(enum.Enum):
    RED = (255, 0, 0)
    CRIMSON = (255, 0, 0)  # noqa: PIE796 - another name for it
    BLUE = {"b": 1}  # noqa: RUF012


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.IntFlag):
    A = 1
    B = 2


class Row(NamedTuple):
    name: str
    value: Any = None


Old = collections.namedtuple("Old", "a b")


class MyList(list):  # type: ignore[type-arg]
    pass


class MyStr(str):
    pass


class MyInt(int):
    pass


class Opaque:
    pass
