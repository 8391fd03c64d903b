"""How many executions are open on a Ray that is about to end."""

from __future__ import annotations

import asyncio

from raywf.cli.place import Place
from raywf.client.holders import holders
from raywf.client.reading import Readings
from raywf.errors import StoreUnavailable


def open_on(place: Place, ray_address: str) -> int:
    """Open executions of this place, if an engine on that Ray holds its store; 0 where that cannot be known."""
    try:
        return asyncio.run(_count(place, ray_address))
    except StoreUnavailable:
        return 0


async def _count(place: Place, ray_address: str) -> int:
    if not any(each.ray_address == ray_address for each in await holders(place.store)):
        return 0
    readings = Readings(place.store, place.namespace)
    try:
        return await readings.reader.count_open(place.namespace)
    finally:
        await readings.close()
