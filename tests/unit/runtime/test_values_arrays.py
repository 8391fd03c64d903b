"""NumPy and Arrow values, to the last bit of their types."""

# ruff: noqa: DTZ001 - datetimes without a zone are values like others
from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raywf.definition.values import EncodeError, arrow_bytes, arrow_kind, arrow_value, dataref, decode, encode

ROWS = np.zeros(3, dtype=[("a", ">i2"), ("b", "<f8", (2,)), ("c", "U3")])
GRID = np.arange(12, dtype="float32").reshape(3, 4)


def same_array(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.dtype.str == other.dtype.str
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


@pytest.mark.parametrize(
    "value",
    [
        np.array(5), np.array("text"), np.zeros((0, 3)), np.zeros(0, "U1"), GRID, GRID[:, ::2], GRID.T, np.asfortranarray(GRID),
        np.array([1, 2], ">i4"), np.array([1.5], ">f8"), ROWS, np.array(["a", "bcd"]), np.array([b"a\0", b"b"]),
        np.array([True]), np.array([np.nan, -0.0, np.inf]), np.array(["2024-01-01", "NaT"], "datetime64[s]"),
        np.array([1], "timedelta64[ns]"), np.array([1 + 2j], "complex64"), np.array([1], "float16"), np.longdouble([1]) / 3,
    ],
    ids=lambda value: f"{value.dtype.str}{value.shape}".replace(" ", ""),
)  # fmt: skip
def test_arrays_come_back_with_type_byte_order_and_shape(value: np.ndarray[Any, Any]) -> None:
    found = decode(encode(value))
    assert same_array(found, value)
    assert same_array(decode(encode({"deep": [value]}))["deep"][0], value)
    assert found.flags.writeable


def test_the_order_in_memory_is_kept() -> None:
    fortran = np.asfortranarray(GRID)
    assert decode(encode(fortran)).flags.f_contiguous
    assert decode(encode(GRID)).flags.c_contiguous


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_any_array_of_plain_items(value: np.ndarray[Any, Any]) -> None:
    assert same_array(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        np.int8(-1), np.uint64(2**64 - 1), np.float16(0.1), np.float32(0.1), np.float64(0.1), np.longdouble(1) / 3,
        np.complex64(1j), np.bool_(True), np.str_("a"), np.str_(""), np.bytes_(b"a"), np.datetime64("2024-01-01", "D"),
        np.datetime64("NaT"), np.timedelta64(5, "ms"), ROWS[0], np.void(b"abc"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_scalars_of_numpy_stay_scalars_of_numpy(value: np.generic) -> None:
    found = decode(encode(value))
    assert type(found) is type(value)
    assert found.dtype == value.dtype
    assert found.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, "a"], object), np.array([{}]), np.ma.array([1], mask=[True]),
        np.rec.array([(1,)], dtype=[("a", "i4")]), np.array(["a"], np.dtypes.StringDType()), np.dtype("i4"),
        np.zeros(1, [("a", object)]), np.str_("a\0"), np.bytes_(b"a\0"), np.random.default_rng(0),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_numpy_could_only_pickle_or_would_change_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError, match="cannot be stored"):
        encode([value])


# Arrow

TABLE = pa.table(
    {
        "id": pa.array([1, None, 3], pa.int16()),
        "at": pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("us", "Europe/Berlin")),
        "deep": pa.array([[{"a": [1.5]}], [], None], pa.list_(pa.struct([("a", pa.list_(pa.float32()))]))),
        "word": pa.array(["x", "y", "x"]).dictionary_encode(),
        "money": pa.array([decimal.Decimal("1.50")] * 3, pa.decimal128(10, 2)),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    }
).replace_schema_metadata({"made": "here"})
STRICT = pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False, metadata={"unit": "s"})]))
DICTIONARIES = pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b", "c"]).dictionary_encode()])
ARROW = {
    "table": TABLE,
    "table of no rows": TABLE.slice(0, 0),
    "table of no columns": TABLE.select([]),
    "table in chunks": pa.concat_tables([TABLE, TABLE.slice(1)]),
    "table with two columns of one name": pa.table([[1], [2]], names=["a", "a"]),
    "table that allows no nulls": STRICT,
    "slice": TABLE.slice(1, 1),
    "batch": TABLE.to_batches()[0],
    "batch of no rows": TABLE.to_batches()[0].slice(0, 0),
    "array": pa.array([1, None]),
    "slice of an array": pa.array(["a", "b", "c"]).slice(1),
    "empty array": pa.array([], pa.list_(pa.int8())),
    "nulls": pa.nulls(3),
    "dictionary array": pa.array(["a", "b", "a"]).dictionary_encode(),
    "uuids": pa.array([b"0" * 16], pa.uuid()),
    "union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    "runs": pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2]),
    "views": pa.array(["a", "a long one that is not inline"], pa.string_view()),
    "chunked": pa.chunked_array([[1], [], [2, None]]),
    "chunked of nothing": pa.chunked_array([], pa.float32()),
    "chunked with a dictionary per chunk": DICTIONARIES,
}


@pytest.mark.parametrize("name", ARROW)
def test_arrow_values_come_back_equal_with_their_schema(name: str) -> None:
    value = ARROW[name]
    found = decode(encode([value]))[0]
    assert type(found) is type(value)
    assert found.equals(value)
    schema = getattr(value, "schema", None)
    if schema is not None:
        assert found.schema.equals(schema, check_metadata=True)
    else:
        assert found.type == value.type
    assert len(found) == len(value)


@pytest.mark.parametrize("name", ARROW)
def test_large_arrow_values_are_kept_raw_and_come_back_the_same(name: str) -> None:
    value = ARROW[name]
    kind = arrow_kind(value, pa)
    assert kind is not None
    data = arrow_bytes(value, kind)
    assert arrow_value(data, kind).equals(value)
    assert decode(dataref("h", len(data), kind), None, {"h": data}.__getitem__).equals(value)


@pytest.mark.parametrize(
    "value", [pa.scalar(1), pa.schema([]), pa.int8(), pa.py_buffer(b"1"), pa.field("a", pa.int8())], ids=repr
)
def test_other_things_of_arrow_are_refused(value: Any) -> None:
    with pytest.raises(EncodeError, match="pyarrow"):
        encode(value)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"i": st.none() | st.integers(-5, 5), "t": st.none() | st.text(st.characters(codec="utf-8")),
             "l": st.lists(st.none() | st.floats(allow_nan=False))}
        )
    )
)  # fmt: skip
def test_any_table(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([("i", pa.int32()), ("t", pa.large_string()), ("l", pa.list_(pa.float64()))])
    table = pa.Table.from_pylist(rows, schema=schema)
    assert decode(encode(table)).equals(table)
