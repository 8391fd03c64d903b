"""What commands to an execution do, once its owner has taken them from the inbox."""

from __future__ import annotations

import json
import logging

from raywf.core import events as ev
from raywf.core.state import TaskStatus, address_of
from raywf.ports import InboxRow
from raywf.runtime import pausing
from raywf.runtime.host import Host
from raywf.runtime.live import Live

log = logging.getLogger("raywf.commands")


def carry_out(host: Host, live: Live, row: InboxRow) -> None:
    """Do what a command asks for, with an execution that is open here. A repeat is a no-op."""
    body = json.loads(row.body)
    match row.kind:
        case "signal":
            host.signal(live, body["name"], body["value"].encode(), row.command_id, row.by)
        case "approve" | "reject":
            task = body.get("task") or open_approval(live)
            if task is not None:
                approved = row.kind == "approve"
                host.decide_approval(live, task, approved, body.get("comment", ""), row.command_id, row.by)
        case "resolve":
            value = body["value"]
            encoded = None if value is None else value.encode()
            comment = body.get("comment", "")
            host.resolve(live, body["task"], body["outcome"], encoded, comment, row.command_id, row.by)
        case "pause":
            pausing.pause(host, live, body.get("reason", ""), row.by)
        case "resume":
            pausing.resume(host, live, row.by)
        case "retry" | "fork":
            pass  # it is open already: whoever asked first was heard
        case "cancel":
            host.cancel(live, body.get("reason", ""), row.by)
        case _:
            log.warning("a command of unknown kind %r was dropped", row.kind)


def open_approval(live: Live) -> str | None:
    """The one task that waits for an approval; None when there is none or more than one."""
    waiting = [
        address_of(live.state, at)
        for at, task in enumerate(live.state.tasks)
        if task.status is TaskStatus.WAITING and isinstance(task.wait, ev.ApprovalRequested)
    ]
    return waiting[0] if len(waiting) == 1 else None
