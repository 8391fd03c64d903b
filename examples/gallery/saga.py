"""A saga: when the third booking fails, the first two are taken back, the newest first. No Ray.

    python examples/gallery/saga.py

prints::

    failed: no car is left
    cancelled hotel-Lisbon
    cancelled flight-Lisbon

``compensate`` says how to take a task's effect back. It is called with the task's result, and survives crashes as tasks do.
"""

import raywf
import raywf.testing
from raywf import task, workflow

cancelled: list[str] = []


def cancel(booking: str) -> None:
    cancelled.append(booking)


@task(compensate=cancel)
def book(what: str, city: str) -> str:
    return f"{what}-{city}"


@task
def book_car(city: str, hotel: str) -> str:
    raise LookupError("no car is left")


@workflow
def trip(city: str) -> list[str]:
    flight = book("flight", city)
    hotel = book("hotel", city).after(flight)
    return [flight, hotel, book_car(city, hotel)]


if __name__ == "__main__":
    try:
        raywf.testing.run(trip, "Lisbon")
    except raywf.WorkflowFailed as error:
        print("failed:", error.failure.message)
    for booking in cancelled:
        print("cancelled", booking)
