"""Taking up an open execution that came into the store beside its owner: it was imported, with all of its tree."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raywf.errors import LeaseLost
from raywf.ports import InboxRow

if TYPE_CHECKING:
    from raywf.runtime.owner import Owner

log = logging.getLogger("raywf.adopting")


AGAIN_S = 5.0
"""How long an import waits for a store that did not answer."""


async def adopt_imported(owner: Owner, command: InboxRow) -> None:
    """Carry a command ``adopt`` out, as soon as the store answers. Awaits the store."""
    try:
        await _adopt(owner, command)
    except LeaseLost:
        return
    except Exception:
        log.exception("the imported execution %s could not be taken up; trying again", command.execution)
        owner.again(command, AGAIN_S)


async def _adopt(owner: Owner, command: InboxRow) -> None:
    """Fold what is open of the tree and not here yet, and go on as after a crash: what had begun elsewhere counts as
    lost. An owner that started after the import has it already. Awaits the store."""
    root = await owner.journal.execution(command.namespace, command.execution)
    family = [] if root is None else [root, *await owner.journal.descendants(command.namespace, root.id)]
    keys = [row.key for row in family if row.ended_at is None and row.wake_at is None]
    fresh = [await owner.folded(loaded) for loaded in await owner.journal.load(keys)]
    fresh = [live for live in fresh if live.id not in owner.host.open]
    for live in fresh:
        owner.host.adopt(live)
    for live in fresh:
        try:
            owner.resume(live)
        except LeaseLost:
            raise
        except Exception:
            log.exception("execution %s cannot go on; its history stays as it is", live.id)
            owner.host.drop(live)
    owner.taken(command)
