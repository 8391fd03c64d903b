"""An actor's handle calls the actor and nobody else: not a Ray that it would have to start or join first."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from raywf.errors import NotConnected
from raywf.runtime import ray as adapter


class Actor:
    """Stands for Ray's handle: its calls end as they are told to."""

    def __init__(self, end: BaseException | None = None) -> None:
        self.end = end
        self.calls: list[tuple[Any, ...]] = []

    @property
    def poke(self) -> Actor:
        return self

    def remote(self, *args: Any) -> str:
        self.calls.append(args)
        if self.end is not None:
            raise self.end
        return "reference"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)


def test_without_a_ray_nothing_is_called_and_none_is_started() -> None:
    actor = Actor()
    with pytest.raises(adapter.OutOfReach, match=r"ray.shutdown\(\) was called") as raised:
        adapter.Handle(actor).poke.remote(1)
    assert isinstance(raised.value.cause, NotConnected)  # type: ignore[attr-defined]
    assert actor.calls == []
    with pytest.raises(adapter.OutOfReach):
        adapter.find_actor("supervisor", "namespace")
    assert not ray.is_initialized()


@pytest.mark.usefixtures("connected")
def test_an_actor_of_the_ray_before_is_out_of_reach() -> None:
    gone = Exception('Failed to submit task to actor A due to b"Can\'t find actor A. It might be dead"')
    with pytest.raises(adapter.Disconnected):
        adapter.Handle(Actor(gone)).poke.remote()


@pytest.mark.usefixtures("connected")
def test_whatever_else_goes_wrong_is_said_as_it_is() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        adapter.Handle(Actor(TypeError("cannot be pickled"))).poke.remote(object())
    actor = Actor()
    assert adapter.Handle(actor).poke.remote(1, 2) == "reference"
    assert actor.calls == [(1, 2)]
