"""``raywf.migration``: what a newer version of a workflow makes of results that an older one has on record.

A migration is written beside its workflow and says what the graph alone cannot: that a task has another name, that its result has another
shape, that it may be forgotten. It is looked at when a deployment is planned, and names only what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from raywf.definition.lines import did_you_mean, user_line
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow
from raywf.errors import DefinitionError

F = TypeVar("F", bound=Callable[[Any], Any])
_HELD = "_raywf_migrations"
SHORTEST = 4
"""Characters of a content hash that say which one is meant, at least."""


class Migration:
    """How executions of older versions of a workflow go on under this one. Made by ``raywf.migration``.

    Its functions get and give plain values, one execution's at a time; they must not change anything, and may be called again.
    """

    def __init__(
        self,
        workflow: Workflow[..., Any],
        from_: str | None,
        to: str | None,
        rename: Mapping[str, str],
        keep: Collection[str],
        rerun: Collection[str],
        drop: Collection[str],
    ) -> None:
        self.workflow = workflow
        self.from_, self.to = from_, to
        self.rename = dict(rename)
        self.kept, self.rerun, self.dropped = frozenset(keep), frozenset(rerun), frozenset(drop)
        self.converters: dict[str, Callable[[Any], Any]] = {}
        self.new_input: Callable[[dict[str, Any]], Any] | None = None
        self.line = user_line()

    def convert(self, task: str) -> Callable[[F], F]:
        """Decorate the function that brings a result of ``task`` (its new id) into its new shape; of a fan-out, one item's."""

        def take(function: F) -> F:
            if task in self.converters:
                raise DefinitionError(f"{self}: the result of task {task!r} is converted twice: write one function")
            self.converters[task] = function
            return function

        if not isinstance(task, str):
            raise DefinitionError(
                f'{self}: @migration.convert takes the id of a task, as in @migration.convert("score")'
            )
        return take

    def input(self, function: F) -> F:
        """Decorate the function from the arguments an execution was started with (a dict by name) to those it would be started
        with now."""
        self.new_input = function
        return function

    def __str__(self) -> str:
        return f"{self.line}: the migration of workflow {self.workflow.id!r}" + (
            f" from {self.from_}" if self.from_ else ""
        )

    def fits(self, hash_: str, label: str) -> int:
        """How exactly a version is the one that this begins with: 2 by hash, 1 by label, 0 any, -1 it is not."""
        if self.from_ is None:
            return 0
        if len(self.from_) >= SHORTEST and hash_.startswith(self.from_):
            return 2
        return 1 if label == self.from_ else -1

    def check(self, old: WorkflowDefinition, new: WorkflowDefinition) -> None:
        """Raise ``DefinitionError`` for a task that is not there, with the one that was probably meant."""
        before, now = [task.id for task in old.tasks], [task.id for task in new.tasks]
        old_name, new_name = f"version {old.version} ({old.content_hash[:12]})", f"version {new.version}"
        self._known("rename", self.rename, before, old_name)
        self._known("rename leads to", self.rename.values(), now, new_name)
        self._known("drop", self.dropped, before, old_name)
        self._known("keep", self.kept, now, new_name)
        self._known("rerun", self.rerun, now, new_name)
        self._known("convert", self.converters, now, new_name)
        if len(set(self.rename.values())) < len(self.rename):
            raise DefinitionError(f"{self}: rename gives two tasks the same new id: {dict(self.rename)}")
        both = (self.kept | set(self.converters)) & self.rerun
        if both:
            raise DefinitionError(f"{self}: task {min(both)!r} is to be kept and to run again: say one")

    def _known(self, what: str, names: Iterable[str], known: list[str], version: str) -> None:
        for name in names:
            if name not in known:
                raise DefinitionError(
                    f"{self}: {what}: there is no task {name!r} in {version}.{did_you_mean(name, known)} "
                    f"Its tasks: {', '.join(known)}"
                )


def migration(
    workflow: Workflow[..., Any],
    /,
    *,
    from_: str | None = None,
    to: str | None = None,
    rename: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
    rerun: Collection[str] = (),
    drop: Collection[str] = (),
    convert: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Migration:
    """Say how open executions of an older version go on under this one.

    ``from_`` is the older version's label or content hash (four characters or more), None any; ``to`` the label that the workflow
    must have, if it is given. ``rename`` maps old ids of tasks to new ones; ``keep`` and ``rerun`` (new ids) say that a result counts
    although its call has changed, or does not; ``drop`` (old ids) that a task may be forgotten whatever it is at. ``convert`` maps new
    ids to functions of a result, as ``@m.convert("id")`` does. Raises ``DefinitionError``; tasks are looked up when it is used.
    """
    where = f"{user_line()}: raywf.migration"
    if not isinstance(workflow, Workflow):
        raise DefinitionError(f"{where}: it takes a workflow, not {workflow!r:.80}")
    for name, given in (("keep", keep), ("rerun", rerun), ("drop", drop)):
        if isinstance(given, str) or not all(isinstance(each, str) for each in given):
            raise DefinitionError(f"{where}: {name}={given!r:.80} is a list of task ids, as in {name}=['write']")
    if rename is not None and not all(isinstance(each, str) for pair in rename.items() for each in pair):
        raise DefinitionError(
            f"{where}: rename={rename!r:.80} maps old task ids to new ones, as in {{'rate': 'score'}}"
        )
    if to is not None and str(to) != workflow.version:
        raise DefinitionError(
            f"{where}: it leads to version {to!r}, and workflow {workflow.id!r} is version {workflow.version!r}: a migration "
            "is for the version it stands beside"
        )
    found = Migration(workflow, None if from_ is None else str(from_), to, rename or {}, keep, rerun, drop)
    for name, function in (convert or {}).items():
        found.convert(name)(function)
    workflow.__dict__.setdefault(_HELD, []).append(found)
    return found


def migration_for(workflow: Workflow[..., Any], hash_: str, label: str) -> Migration | None:
    """The migration that an execution of that version takes: the one that names it most exactly. Raises ``DefinitionError`` where
    two do so."""
    known: list[Migration] = workflow.__dict__.get(_HELD, [])
    ranked = sorted(((each.fits(hash_, label), at) for at, each in enumerate(known)), reverse=True)
    ranked = [each for each in ranked if each[0] >= 0]
    if not ranked:
        return None
    best = [known[at] for fit, at in ranked if fit == ranked[0][0]]
    if len(best) > 1:
        lines = " and ".join(sorted(each.line for each in best))
        raise DefinitionError(
            f"two migrations of workflow {workflow.id!r} begin with version {label} ({hash_[:12]}): {lines}. "
            "Leave one, or say from_= with the content hash"
        )
    return best[0]
