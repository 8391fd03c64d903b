"""When a long history gets a snapshot, and how it is written without holding anybody up."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from raywf.core import snapshot
from raywf.ports import SnapshotRow
from raywf.runtime.live import Live

if TYPE_CHECKING:
    from raywf.runtime.host import Host

log = logging.getLogger("raywf.keeping")


def keep_snapshot(host: Host, live: Live) -> None:
    """Write down what the history amounts to, so that it need not be folded from its beginning; of a closed execution,
    drop that. A state never changes: a large one is encoded beside the loop while its execution goes on."""
    if live.is_closed:
        host.commits.add_snapshot(live.shard, SnapshotRow(live.key, live.seq, None))
        return
    state, seq, size = live.state, live.seq, snapshot.size_of(live.state)
    live.snapshot_at = snapshot.next_at(seq, size)

    def done(data: bytes | None, error: BaseException | None) -> None:
        if error is not None:
            log.error("execution %s goes on without a snapshot", live.id, exc_info=error)
        elif data is not None and host.open.get(live.id) is live:
            host.commits.add_snapshot(live.shard, SnapshotRow(live.key, seq, data))

    if size > snapshot.EVERY:
        host.work.aside(functools.partial(snapshot.encode, state), done)
        return
    try:
        data = snapshot.encode(state)
    except Exception as error:
        done(None, error)
    else:
        done(data, None)
