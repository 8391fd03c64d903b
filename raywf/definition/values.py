"""Values between tasks: what decoding their encoding gives, hot or recovered.

The encoding is JSON. What JSON has no word for is tagged, ``{"$t": "decimal", "v": "1.50"}``, with the run-time type,
so that it comes back exactly; what cannot come back exactly is refused when it is produced. Nothing is ever unpickled.

==============================  =====================================================================
type                            encoding
==============================  =====================================================================
None, bool, int, str, list      plain JSON (int of any size; float if finite)
dict with plain string keys     plain JSON
other dicts, tuple, set, ...    tagged, elements encoded in turn
bytes, date, datetime, Decimal  tagged text; also time, timedelta, UUID, complex, pathlib paths
Enum, NamedTuple, dataclass     tagged with ``module:class`` and the fields; pydantic models likewise
NumPy arrays and scalars        tagged NPY (format version by NumPy, never with pickled objects)
Arrow tables, batches, arrays   tagged Arrow IPC stream
==============================  =====================================================================
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import importlib
import io
import math
import pathlib
import sys
import typing
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, PydanticUserError, RootModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from raywf.errors import CodeMissing, RaywfError, ValidationFailed

FindClass: TypeAlias = Callable[[str], type]
FetchBlob: TypeAlias = Callable[[str], bytes | memoryview]
_TAG = b'"$t"'
_MAX_DEPTH = (
    180  # of JSON; its reader takes 200, and what is gathered from values nests a little deeper than each of them
)
_BITS = 13_000  # of an integer: its reader takes up to 4300 digits


class EncodeError(RaywfError):
    """The value cannot be stored so that it comes back exactly. The message names the type and the way out."""


def encode(value: Any) -> bytes:
    """The encoded form of a value: UTF-8 JSON. Raises ``EncodeError`` for what cannot come back exactly."""
    kind = type(value)
    if kind in SCALARS:
        return _json(_wire_scalar(value, kind))
    return _json(_wire(value, 0))


def encode_small(value: Any) -> bytes | None:
    """The encoded form of the commonest scalars, by the shortest way; None for everything else."""
    kind = type(value)
    if kind is int:
        return b"%d" % value if value.bit_length() <= _BITS else None
    if kind is bool:
        return b"true" if value else b"false"
    return b"null" if value is None else None


def decode(data: bytes, find_class: FindClass | None = None, fetch: FetchBlob | None = None) -> Any:
    """The value of an encoding. ``find_class`` maps ``module:class`` to a class (default: import it); ``fetch`` gives
    the bytes of a large value by its content hash.

    Raises ``CodeMissing`` when a class is not there.
    """
    plain = from_json(data)
    if data.find(_TAG) < 0:
        return plain
    return _unwire(plain, Context(find_class or import_class, fetch or no_blobs))


def decode_with(data: bytes, context: Context) -> Any:
    """``decode`` for who decodes much: with a context made once."""
    plain = from_json(data)
    # Not ``in``: that tries first whether the tag is a number, and words an error for nobody (CPython's bytes_contains).
    return plain if data.find(_TAG) < 0 else _unwire(plain, context)


def is_large(data: bytes) -> bool:
    """Whether decoding this needs the bytes of a large value, which may block on a disk."""
    return b'"$t":"dataref"' in data


def dataref(hash_: str, size: int, codec: str) -> bytes:
    """The encoded form of a reference to a large value kept elsewhere: content hash, bytes, and how it is encoded."""
    return to_json({"$t": "dataref", "hash": hash_, "bytes": size, "codec": codec})


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What decoding needs from outside: classes by path and large values by hash."""

    find: FindClass
    fetch: FetchBlob


def no_blobs(hash_: str) -> bytes:
    raise RaywfError(f"the large value {hash_} is not at hand here: read it where its store is")


def _json(wire: Any) -> bytes:
    try:
        return to_json(wire)
    except (PydanticSerializationError, UnicodeEncodeError, ValueError) as error:
        raise EncodeError(f"the text cannot be stored as UTF-8 ({error}): replace lone surrogates first") from None


# annotations

_EXACT = (int, str, float, bool)
_STREAMS = ("Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncGenerator", "AsyncIterable")


def coercer(function: Callable[..., Any]) -> Callable[[Any], Any] | None:
    """What fits a function's result to its return annotation, as pydantic does (a dict becomes the model, an int the
    float); None where there is nothing to do. The coercer raises ``ValidationFailed``.
    """
    try:
        annotation = typing.get_type_hints(function, include_extras=True).get("return", Any)
    except Exception:
        return None
    origin = typing.get_origin(annotation) or annotation
    if annotation in (Any, object, type(None)) or getattr(origin, "__name__", "") in _STREAMS:
        return None
    adapter = type_adapter(annotation)
    if adapter is None:
        return None
    exact = annotation if annotation in _EXACT else None
    name = getattr(function, "__name__", "the task")

    def coerce(value: Any) -> Any:
        if type(value) is exact:
            return value
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "".join(f"[{part!r}]" for part in first["loc"])
            raise ValidationFailed(
                f"{name} returned {value!r:.200}, which does not fit its annotation {annotation!r}: "
                f"{first['msg']}{f' at {place}' if place else ''}. Return what it says, or change the annotation."
            ) from None

    return coerce


def exact_result(function: Callable[..., Any]) -> type | None:
    """The scalar type of a function's return annotation, which a result of that very type fits as it is; else None."""
    try:
        annotation = typing.get_type_hints(function).get("return")
    except Exception:
        return None
    return annotation if annotation in _EXACT else None


def type_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """pydantic's validator of an annotation; None where pydantic has none."""
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, TypeError, NameError):
        pass
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError, NameError):
        return None


# encoding

SCALARS = frozenset({int, str, bool, float, type(None)})


def _wire(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in SCALARS:
        return _wire_scalar(value, kind)
    if depth > _MAX_DEPTH:
        raise EncodeError(f"the value is nested deeper than {_MAX_DEPTH} levels, or contains itself: flatten it")
    if kind is list:
        return [_wire(item, depth + 1) for item in value]
    if kind is dict:
        return _wire_dict(value, depth)
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value, depth)
    return _wire_by_family(value, kind, depth)


def _wire_scalar(value: Any, kind: type) -> Any:
    if kind is float and not math.isfinite(value):
        return {"$t": "float", "v": repr(value)}
    if kind is int and value.bit_length() > _BITS:
        return {"$t": "int", "v": hex(value)}
    return value


def _wire_dict(value: dict[Any, Any], depth: int) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _wire(item, depth + 1) for key, item in value.items()}
    pairs = [[_wire(key, depth + 3), _wire(item, depth + 3)] for key, item in value.items()]
    return {"$t": "dict", "v": pairs}


def _tagged(tag: str, read: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
    return lambda value, depth: {"$t": tag, "v": read(value)}


def _wire_items(tag: str, *, sort: bool = False) -> Callable[[Any, int], Any]:
    def write(value: Any, depth: int) -> Any:
        items = [_wire(item, depth + 2) for item in value]
        return {"$t": tag, "v": sorted(items, key=_json) if sort else items}

    return write


def _wire_datetime(value: dt.datetime, depth: int) -> Any:
    wire: dict[str, Any] = {"$t": "datetime", "v": value.replace(tzinfo=None).isoformat(), "fold": value.fold}
    return wire | _wire_zone(value.tzinfo)


def _wire_time(value: dt.time, depth: int) -> Any:
    wire: dict[str, Any] = {"$t": "time", "v": value.replace(tzinfo=None).isoformat(), "fold": value.fold}
    return wire | _wire_zone(value.tzinfo)


def _wire_zone(zone: dt.tzinfo | None) -> dict[str, Any]:
    if zone is None:
        return {}
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return {"zone": zone.key}
    offset = zone.utcoffset(None)
    if offset is None or type(zone).__module__ not in ("datetime", "pydantic_core._pydantic_core"):
        raise EncodeError(f"the time zone {zone!r} cannot be stored: use zoneinfo.ZoneInfo or datetime.timezone")
    named = zone.tzname(None)
    name = {} if named == dt.timezone(offset).tzname(None) else {"name": named}
    return {"offset": offset.total_seconds(), **name}


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _wire_path(value: pathlib.PurePath, depth: int) -> Any:
    return {"$t": "path", "c": type(value).__name__, "v": str(value)}


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    tuple: _wire_items("tuple"),
    set: _wire_items("set", sort=True),
    frozenset: _wire_items("frozenset", sort=True),
    bytes: _tagged("bytes", _b64),
    bytearray: _tagged("bytearray", lambda value: _b64(bytes(value))),
    dt.datetime: _wire_datetime,
    dt.date: _tagged("date", dt.date.isoformat),
    dt.time: _wire_time,
    dt.timedelta: _tagged("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    decimal.Decimal: _tagged("decimal", str),
    uuid.UUID: _tagged("uuid", str),
    complex: _tagged("complex", lambda value: [repr(value.real), repr(value.imag)]),
    pathlib.PosixPath: _wire_path,
    pathlib.PurePosixPath: _wire_path,
    pathlib.WindowsPath: _wire_path,
    pathlib.PureWindowsPath: _wire_path,
}


def class_path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _path_of(cls: type) -> str:
    """The path of a value's class, which must lead back to it."""
    if "<locals>" in cls.__qualname__:
        raise EncodeError(
            f"a value of type {cls.__qualname__} cannot be stored, because its class is defined inside a function and "
            "would not be found again: move the class to the top of its module"
        )
    return class_path(cls)


def _wire_by_family(value: Any, kind: type, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        if isinstance(value, enum.Flag):
            return {"$t": "flag", "c": _path_of(kind), "v": _wire(value.value, depth + 1)}
        return {"$t": "enum", "c": _path_of(kind), "v": value.name}
    if isinstance(value, BaseModel):
        return _wire_model(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, *_BUILT_IN)):
        names = dict.fromkeys(field.name for field in dataclasses.fields(value) if hasattr(value, field.name))
        names |= _kept(value, kind)
        fields = {name: _wire(getattr(value, name), depth + 2) for name in names}
        return {"$t": "dataclass", "c": _path_of(kind), "v": fields}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"$t": "namedtuple", "c": _path_of(kind), "v": [_wire(item, depth + 2) for item in value]}
    wire = _wire_array(value, kind)
    if wire is not None:
        return wire
    raise EncodeError(_refusal(kind))


_BUILT_IN = (
    BaseException,
    dict,
    list,
    tuple,
    set,
    frozenset,
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    dt.date,
    dt.time,
)
"""Bases whose own contents a dataclass does not list among its fields."""


def _kept(value: Any, kind: type) -> dict[str, Any]:
    """The attributes in an object's own dictionary, without what a ``cached_property`` would compute again."""
    own = getattr(value, "__dict__", {})
    return {
        name: item
        for name, item in own.items()
        if not (name.startswith("__") or isinstance(getattr(kind, name, None), functools.cached_property))
    }


def _wire_model(value: BaseModel, depth: int) -> Any:
    wire: dict[str, Any] = {"$t": "model", **_wire_class(type(value))}
    wire["v"] = {name: _wire(item, depth + 2) for name, item in _kept(value, type(value)).items()}
    wire["set"] = sorted(value.__pydantic_fields_set__)
    if value.__pydantic_extra__:
        wire["extra"] = {name: _wire(item, depth + 2) for name, item in value.__pydantic_extra__.items()}
    if value.__pydantic_private__:
        wire["private"] = {name: _wire(item, depth + 2) for name, item in value.__pydantic_private__.items()}
    return wire


def _wire_class(cls: Any) -> dict[str, Any]:
    """A class by path; a parametrised generic model by that of its origin and its arguments."""
    generic = getattr(cls, "__pydantic_generic_metadata__", None) or {"origin": None}
    if not generic["origin"]:
        return {"c": _path_of(cls)}
    if not all(isinstance(arg, type) for arg in generic["args"]):
        raise EncodeError(f"{cls.__name__} cannot be stored: name it in a subclass, `class Named({cls.__name__})`")
    args = [wire["c"] if len(wire) == 1 else wire for wire in map(_wire_class, generic["args"])]
    return {"c": _path_of(generic["origin"]), "args": args}


def _wire_array(value: Any, kind: type) -> Any:
    """NumPy and Arrow, which are only looked at when the program has loaded them."""
    root = kind.__module__.partition(".")[0]
    if root == "numpy" and (np := sys.modules.get("numpy")) is not None:
        if isinstance(value, (np.ndarray, np.generic)) and not (kind is np.ndarray or isinstance(value, np.generic)):
            return None
        if getattr(value, "dtype", None) is None or value.dtype.hasobject:
            return None
        if isinstance(value, (np.str_, np.bytes_)) and value[-1:] in ("\0", b"\0"):
            return None  # NumPy takes NULs at the end for padding
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(value), allow_pickle=False)
        return {"$t": "npscalar" if isinstance(value, np.generic) else "ndarray", "v": _b64(buffer.getvalue())}
    if root == "pyarrow" and (pa := sys.modules.get("pyarrow")) is not None:
        arrow = arrow_kind(value, pa)
        if arrow is not None:
            return {"$t": arrow, "v": _b64(arrow_bytes(value, arrow))}
    return None


def arrow_kind(value: Any, pa: Any) -> str | None:
    """Which of the Arrow shapes that we store a value has."""
    if isinstance(value, pa.Table):
        return "table"
    if isinstance(value, pa.RecordBatch):
        return "batch"
    if isinstance(value, pa.ChunkedArray):
        return "chunked"
    return "array" if isinstance(value, pa.Array) else None


def arrow_bytes(value: Any, kind: str) -> bytes:
    """An Arrow table, batch, chunked array or array as an IPC stream."""
    pa = importlib.import_module("pyarrow")
    importlib.import_module("pyarrow.ipc")
    if kind == "array":
        value = pa.RecordBatch.from_arrays([value], names=["_"])
    elif kind == "chunked":
        value = pa.Table.from_arrays([value], names=["_"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write(value)
    return bytes(sink.getvalue())


def arrow_value(data: Any, kind: str) -> Any:
    """The Arrow value of an IPC stream; buffers are not copied."""
    pa = importlib.import_module("pyarrow")
    importlib.import_module("pyarrow.ipc")
    reader = pa.ipc.open_stream(pa.py_buffer(data))
    if kind in ("table", "chunked"):
        table = reader.read_all()
        return table if kind == "table" else table.column(0)
    batch = reader.read_next_batch()
    return batch if kind == "batch" else batch.column(0)


def _refusal(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    ways = {
        "generator": "return list(...) of it",
        "dict_keys": "return list(...) of it",
        "coroutine": "await it before you return it",
        "DataFrame": "return pyarrow.Table.from_pandas(frame)",
        "ObjectRef": "return the value itself: an object of Ray's dies with its owner",
    }
    for base in (dict, list, set, str, int, float, tuple):
        if issubclass(kind, base):
            ways.setdefault(kind.__name__, f"return {base.__name__}(value)")
    fallback = "return plain data, a pydantic model, a dataclass, a NumPy array or an Arrow table"
    way = ways.get(kind.__name__, fallback)
    return f"a value of type {name} cannot be stored so that it comes back exactly: {way}"


# decoding


def _unwire(wire: Any, ctx: Context) -> Any:
    kind = type(wire)
    if kind is list:
        return [_unwire(item, ctx) for item in wire]
    if kind is not dict:
        return wire
    tag = wire.get("$t")
    if tag is None:
        return {key: _unwire(item, ctx) for key, item in wire.items()}
    reader = _READERS.get(tag)
    if reader is None:
        raise ValueError(f"a stored value has the unknown tag {tag!r}: a newer raywf wrote it, so upgrade this one")
    return reader(wire, ctx)


def import_class(path: str) -> type:
    """``module:Outer.Inner`` -> the class. Raises ``CodeMissing``."""
    module, _, qualname = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise CodeMissing(
            f"the class {path!r} of a stored value cannot be loaded ({error}): make its module importable here"
        ) from error
    if not isinstance(found, type):
        raise CodeMissing(f"{path!r} of a stored value is not a class but {found!r}")
    return found


def _zone(wire: dict[str, Any]) -> dt.tzinfo | None:
    if "zone" in wire:
        return zoneinfo.ZoneInfo(wire["zone"])
    if "offset" in wire:
        if "name" in wire:
            return dt.timezone(dt.timedelta(seconds=wire["offset"]), wire["name"])
        return dt.timezone(dt.timedelta(seconds=wire["offset"])) if wire["offset"] else dt.timezone.utc  # noqa: UP017
    return None


def _read_model(wire: dict[str, Any], ctx: Context) -> Any:
    cls = _read_class(wire, ctx)
    model = cls.__new__(cls)
    fields = {name: _unwire(item, ctx) for name, item in wire["v"].items()}
    extra = {name: _unwire(item, ctx) for name, item in wire.get("extra", {}).items()}
    private = {name: _unwire(item, ctx) for name, item in wire.get("private", {}).items()}
    object.__setattr__(model, "__dict__", fields)
    object.__setattr__(model, "__pydantic_fields_set__", set(wire["set"]))
    allows_extra = cls.model_config.get("extra") == "allow"
    if not issubclass(cls, RootModel):  # which has no place for extra fields
        object.__setattr__(model, "__pydantic_extra__", extra if allows_extra else None)
    if cls.__private_attributes__ or not issubclass(cls, RootModel):
        object.__setattr__(model, "__pydantic_private__", private or ({} if cls.__private_attributes__ else None))
    return model


def _read_class(wire: str | dict[str, Any], ctx: Context) -> Any:
    if isinstance(wire, str):
        return ctx.find(wire)
    cls: Any = ctx.find(wire["c"])
    if "args" not in wire:
        return cls
    args = tuple(_read_class(arg, ctx) for arg in wire["args"])
    return cls[args if len(args) > 1 else args[0]]


def _read_dataclass(wire: dict[str, Any], ctx: Context) -> Any:
    kind = ctx.find(wire["c"])
    value: Any = object.__new__(kind)
    for name, item in wire["v"].items():
        object.__setattr__(value, name, _unwire(item, ctx))
    for field in dataclasses.fields(kind):
        if field.name not in wire["v"]:  # written before the class had it
            if field.default is not dataclasses.MISSING:
                object.__setattr__(value, field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                object.__setattr__(value, field.name, field.default_factory())
    return value


def _read_array(wire: dict[str, Any], ctx: Context) -> Any:
    np = importlib.import_module("numpy")
    array = np.load(io.BytesIO(base64.b64decode(wire["v"])), allow_pickle=False)
    return array[()] if wire["$t"] == "npscalar" else array


def _read_arrow(wire: dict[str, Any], ctx: Context) -> Any:
    return arrow_value(base64.b64decode(wire["v"]), wire["$t"])


def _read_dataref(wire: dict[str, Any], ctx: Context) -> Any:
    blob = ctx.fetch(wire["hash"])
    if wire["codec"] == "json":
        return _unwire(from_json(bytes(blob)), ctx)
    if wire["codec"] == "bytes":
        return bytes(blob)
    return arrow_value(blob, wire["codec"])


def _read_path(wire: dict[str, Any], ctx: Context) -> Any:
    return getattr(pathlib, wire["c"])(wire["v"])


_READERS: dict[str, Callable[[dict[str, Any], Context], Any]] = {
    "float": lambda w, ctx: float(w["v"]),
    "int": lambda w, ctx: int(w["v"], 16),
    "dict": lambda w, ctx: {_unwire(key, ctx): _unwire(item, ctx) for key, item in w["v"]},
    "tuple": lambda w, ctx: tuple(_unwire(item, ctx) for item in w["v"]),
    "set": lambda w, ctx: {_unwire(item, ctx) for item in w["v"]},
    "frozenset": lambda w, ctx: frozenset(_unwire(item, ctx) for item in w["v"]),
    "bytes": lambda w, ctx: base64.b64decode(w["v"]),
    "bytearray": lambda w, ctx: bytearray(base64.b64decode(w["v"])),
    "datetime": lambda w, ctx: dt.datetime.fromisoformat(w["v"]).replace(tzinfo=_zone(w), fold=w.get("fold", 0)),
    "date": lambda w, ctx: dt.date.fromisoformat(w["v"]),
    "time": lambda w, ctx: dt.time.fromisoformat(w["v"]).replace(tzinfo=_zone(w), fold=w.get("fold", 0)),
    "timedelta": lambda w, ctx: dt.timedelta(*w["v"]),
    "decimal": lambda w, ctx: decimal.Decimal(w["v"]),
    "uuid": lambda w, ctx: uuid.UUID(w["v"]),
    "complex": lambda w, ctx: complex(float(w["v"][0]), float(w["v"][1])),
    "path": _read_path,
    "enum": lambda w, ctx: ctx.find(w["c"])[w["v"]],  # type: ignore[index]
    "flag": lambda w, ctx: ctx.find(w["c"])(_unwire(w["v"], ctx)),
    "model": _read_model,
    "dataclass": _read_dataclass,
    "namedtuple": lambda w, ctx: ctx.find(w["c"])(*(_unwire(item, ctx) for item in w["v"])),
    "dataref": _read_dataref,
    "ndarray": _read_array,
    "npscalar": _read_array,
    "table": _read_arrow,
    "batch": _read_arrow,
    "chunked": _read_arrow,
    "array": _read_arrow,
}
