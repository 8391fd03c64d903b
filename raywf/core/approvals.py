"""Who is asked for an approval, who has answered, and what the answers amount to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from raywf.core.events import ApprovalRequested
from raywf.core.ids import split_passes
from raywf.core.state import NO_NOTES, ExecutionState, Notes


def askable(asked: ApprovalRequested, notes: Notes | None) -> tuple[str, ...]:
    """Who may answer now, each once. Empty: anybody."""
    named = ((asked.assignee,) if asked.assignee else ()) + asked.approvers
    if named and notes is not None and notes.escalated:
        named += asked.escalate_to
    return tuple(dict.fromkeys(named))


def open_to(asked: ApprovalRequested, notes: Notes | None) -> tuple[str, ...]:
    """Who may answer and has not. Empty where anybody may."""
    told = notes or NO_NOTES
    return tuple(each for each in askable(asked, notes) if each not in told.approved_by + told.rejected_by)


def answerer(state: ExecutionState, task: str) -> str:
    """Somebody who may answer and has not: the first who is named, else a name that nobody has used here."""
    current = state.tasks[state.plan.index[split_passes(task)[0]]]
    assert isinstance(current.wait, ApprovalRequested)
    told = current.notes or NO_NOTES
    named = open_to(current.wait, told)
    return named[0] if named else f"testing-{len(told.approved_by) + len(told.rejected_by) + 1}"


def decision(asked: ApprovalRequested, notes: Notes) -> bool | None:
    """Approved, rejected, or open. It is rejected once those who have not rejected are too few to approve it; where
    anybody may answer, by the first who rejects."""
    if len(notes.approved_by) >= asked.required:
        return True
    may = askable(asked, notes)
    if notes.rejected_by and len(may) - len(notes.rejected_by) < asked.required:
        return False
    return None


def escalates(asked: ApprovalRequested, notes: Notes | None) -> bool:
    """Whether the next time that comes for it is that of its escalation, and not its end."""
    return asked.escalate_at is not None and not (notes or NO_NOTES).escalated


def who(asked: ApprovalRequested, notes: Notes | None) -> str:
    """Of whom an approval is asked, in words: empty where one answer of anybody will do."""
    told, may = notes or NO_NOTES, askable(asked, notes)
    if not may and asked.required == 1:
        return _escalated(asked, told).strip("; ")
    names = _listed(may) if may else "anybody"
    need = "" if asked.required == 1 else f"{asked.required} of " if may else f"{asked.required} times "
    text = f"{need}{names}"
    if told.approved_by:
        text += f"; {_listed(told.approved_by, 'and')} approved"
    if told.rejected_by:
        text += f"; {_listed(told.rejected_by, 'and')} rejected"
    return text + _escalated(asked, told)


def _escalated(asked: ApprovalRequested, notes: Notes) -> str:
    return f"; escalated to {_listed(asked.escalate_to, 'and')}" if notes.escalated else ""


def words(asked: ApprovalRequested, notes: Notes | None) -> str:
    """``an approval by ann or bob``, as it is said before the prompt."""
    by = who(asked, notes)
    return f"an approval by {by}" if by and not by.startswith("escalated") else f"an approval{f' ({by})' if by else ''}"


def _listed(names: Sequence[str], last: str = "or") -> str:
    if len(names) > 5:
        return f"{', '.join(names[:4])} {last} {len(names) - 4} more"
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
