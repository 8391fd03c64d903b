"""Reused results: equal items of a fan-out are computed once, and so is what a later task asks again. No Ray.

    python examples/gallery/cache.py

prints::

    ['PARIS', 'ROME', 'PARIS'] and PARIS again
    geocoded: PARIS, ROME
"""

import raywf
import raywf.testing
from raywf import task, workflow

geocoded: list[str] = []


@task(cache=raywf.Cache(ttl=3600, ignore="session"))
async def geocode(city: str, session: str = "") -> str:
    geocoded.append(city.upper())
    return city.upper()


@task
async def first(places: list[str]) -> str:
    return places[0].lower()


@workflow
def trip(cities: list[str]):  # type: ignore[no-untyped-def]
    places = geocode.map(cities)
    again = geocode.with_options(id="again")(first(places), session="another")
    return places, again


if __name__ == "__main__":
    places, again = raywf.testing.run(trip, ["paris", "rome", "paris"])
    print(places, "and", again, "again")
    print("geocoded:", ", ".join(sorted(geocoded)))
