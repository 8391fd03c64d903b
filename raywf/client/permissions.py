"""Who may answer an approval, checked before anything is stored."""

from __future__ import annotations

from raywf.core.approvals import askable, words
from raywf.core.events import ApprovalRequested
from raywf.core.ids import split_passes
from raywf.core.state import NO_NOTES, ExecutionState
from raywf.errors import InvalidInput, PermissionDenied


def may_answer(execution_id: str, state: ExecutionState, task: str, by: object, approved: bool) -> bool:
    """Whether an answer is news. False: this person gave it before. Raises ``PermissionDenied`` and ``InvalidInput``."""
    if not isinstance(by, str) or not by.strip():
        raise InvalidInput(f"by={by!r}: an answer has the name of the person who gives it, as text")
    current = state.tasks[state.plan.index[split_passes(task)[0]]]
    asked, notes = current.wait, current.notes or NO_NOTES
    if not isinstance(asked, ApprovalRequested):
        return True
    if by in notes.approved_by + notes.rejected_by:
        before = by in notes.approved_by
        if before == approved:
            return False
        raise InvalidInput(
            f"{by!r} has {'approved' if before else 'rejected'} {task!r} of execution {execution_id!r} already, and a "
            f"person's first answer counts. It waits for {words(asked, notes)}"
        )
    may = askable(asked, notes)
    if may and by not in may:
        later = by in asked.escalate_to
        when = ", or wait for the escalation, after which you are asked too" if later else ""
        raise PermissionDenied(
            f"{by!r} may not answer {task!r} of execution {execution_id!r} ({asked.prompt}): it waits for "
            f"{words(asked, notes)}. Ask one of them{when}"
        )
    return True
