"""Values between tasks: each round-trips exactly, or is refused when it is produced; in the actor, as a Ray task and without Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from tests.contract import values
from tests.contract.values import EITHER, MUST, Address, Colour, HomeAddress, Person, Span, same

Run = Callable[..., Any]
LARGE = 300_000


@task
def produce(name: str) -> Any:
    return (MUST[name][1] if name in MUST else EITHER[name])()


@task
def received(name: str, value: Any) -> list[Any]:
    """What arrived, and whether it is what was sent."""
    expected = (MUST[name][1] if name in MUST else EITHER[name])()
    return [same(value, expected), f"{type(value)} {value!r:.200}"]


@task
def echo(value: Any) -> Any:
    return value


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def spoil(values: list[int]) -> int:
    values.append(99)
    return len(values)


@task
def blob(size: int) -> bytes:
    return b"x" * size


@task
def array(size: int) -> np.ndarray:
    return np.arange(size, dtype=np.float64)


@task
def table(size: int) -> pa.Table:
    return pa.table({"n": np.arange(size)})


@task
def weigh(value: Any) -> int:
    return value.nbytes if hasattr(value, "nbytes") else len(value)


@task
def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


@task
def greet(person: Person) -> str:
    return f"{type(person).__name__} {person.name}"


def where(options: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda function: function.with_options(**options) if options else function


class Values:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.mark.parametrize("name", MUST)
    def test_by_run_time_type(self, run: Run, options: dict[str, Any], name: str) -> None:
        on = where(options)

        @workflow
        def flow(name: str) -> Any:
            value = on(produce)(name)
            return [value, on(received)(name, value)]

        value, (arrived, description) = run(flow, name)
        assert arrived, description
        assert same(value, MUST[name][1]()), value

    @pytest.mark.parametrize("name", MUST)
    def test_by_annotation(self, run: Run, options: dict[str, Any], name: str) -> None:
        on = where(options)

        def annotated(name: str) -> Any:
            return MUST[name][1]()

        annotated.__annotations__["return"] = MUST[name][0]
        make = on(task(annotated))

        @workflow
        def flow(name: str) -> Any:
            value = make(name)
            return [value, on(received)(name, value)]

        value, (arrived, description) = run(flow, name)
        assert arrived, description
        assert same(value, MUST[name][1]()), value

    @pytest.mark.parametrize("name", EITHER)
    def test_exactly_or_refused_when_produced(self, run: Run, options: dict[str, Any], name: str) -> None:
        on = where(options)

        @workflow
        def flow(name: str) -> Any:
            value = on(produce)(name)
            return [value, on(received)(name, value)]

        try:
            value, (arrived, description) = run(flow, name)
        except raywf.WorkflowFailed as refused:
            assert refused.task_id == "produce", refused
        else:
            assert arrived, description
            assert same(value, EITHER[name]()), value

    def test_no_task_can_spoil_what_another_gets(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow() -> Any:
            made = on(numbers)(2)
            spoilt = on(spoil)(made)
            return [spoilt, on(echo)(made).after(spoilt), made]

        assert run(flow) == [3, [0, 1], [0, 1]]

    def test_a_large_value_goes_from_task_to_task_and_to_the_client(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow(size: int) -> Any:
            made = on(blob)(size)
            return [on(digest)(made), made]

        fingerprint, value = run(flow, LARGE)
        assert value == b"x" * LARGE
        assert fingerprint == hashlib.sha256(value).hexdigest()

    def test_large_arrays_and_tables(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow(size: int) -> Any:
            made = [on(array)(size), on(table)(size)]
            return [on(weigh).map(raywf.gather(*made)), made]

        weights, (got_array, got_table) = run(flow, LARGE)
        assert weights == [8 * LARGE, 8 * LARGE]
        assert same(got_array, np.arange(LARGE, dtype=np.float64))
        assert got_table.equals(pa.table({"n": np.arange(LARGE)}))

    def test_a_large_argument(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow(data: bytes, items: list[int]) -> Any:
            return [on(digest)(data), on(weigh)(items), on(echo)({"inside": data})]

        data = bytes(range(256)) * 1000
        fingerprint, count, echoed = run(flow, data, list(range(20_000)))
        assert fingerprint == hashlib.sha256(data).hexdigest()
        assert count == 20_000 and echoed == {"inside": data}

    def test_large_items_of_a_map(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow(n: int) -> Any:
            return on(weigh).map(on(blob).map([n, 100_001, 100_002]))

        assert run(flow, 100_000) == [100_000, 100_001, 100_002]

    def test_a_part_of_a_large_value(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow() -> Any:
            return on(echo)(on(numbers)(100_000)[-1])

        assert run(flow) == 99_999

    def test_a_parameter_gets_its_annotated_type(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow(person: Person) -> Any:
            return on(greet)(person)

        person = MUST["model"][1]()
        assert run(flow, person) == "Person a"
        assert run(flow, person.model_dump()) == "Person a", "data that fits the model is the model"

    def test_a_result_that_is_a_subclass_of_its_annotation_stays_what_it_is(
        self, run: Run, options: dict[str, Any]
    ) -> None:
        @task
        def base() -> Address:
            return HomeAddress(street="s", floor=3)

        on = where(options)

        @workflow
        def flow() -> Any:
            return on(base)()

        try:
            value = run(flow)
        except raywf.WorkflowFailed as refused:
            assert refused.task_id == "base"
        else:
            assert same(value, HomeAddress(street="s", floor=3)), value

    def test_an_attribute_of_a_model_and_an_item_of_it(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow() -> Any:
            person, span = on(produce)("model"), on(produce)("dataclass")
            return [person.at.street, person["name"], span.label, f"{person.name} {span.end}", person.scores[1][0]]

        assert run(flow) == ["s", "a", Colour.BLUE, "a 2", 2]

    def test_conditions_compare_typed_values(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow() -> Any:
            span = on(produce)("dataclass")
            return [
                raywf.when(span.label == Colour.BLUE, then=lambda: "blue", otherwise=lambda: "other"),
                raywf.when(
                    on(produce)("date") > values.dt.date(2020, 1, 1), then=lambda: "new", otherwise=lambda: "old"
                ),
                raywf.when(on(produce)("decimal") == values.decimal.Decimal("1.1"), then=lambda: "equal"),
            ]

        assert run(flow) == ["blue", "new", "equal"]

    def test_constants_of_a_body_keep_their_types(self, run: Run, options: dict[str, Any]) -> None:
        on = where(options)

        @workflow
        def flow() -> Any:
            return [on(echo)((1, {2}, b"3", Colour.RED)), (1, 2), Span(1, 2), on(echo)({1: "a"})]

        assert same(run(flow), [(1, {2}, b"3", Colour.RED), (1, 2), Span(1, 2), {1: "a"}])


class TestWithoutRay(Values):
    @pytest.fixture
    def run(self) -> Run:
        return raywf.testing.run


@pytest.mark.cluster
class TestInTheActor(Values):
    @pytest.fixture
    def run(self, engine: raywf.WorkflowEngine) -> Run:
        return engine.run


@pytest.mark.cluster
class TestAsRayTasks(Values):
    @pytest.fixture
    def run(self, engine: raywf.WorkflowEngine) -> Run:
        return engine.run

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"runs_on": "ray"}
