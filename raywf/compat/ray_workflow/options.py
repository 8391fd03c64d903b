"""``workflow.options``: what the library wants to know of a task beside what Ray does, and Ray's options in raywf's words.

Ray has dropped the option that carried foreign settings (``_metadata``), so they travel as a dict of labels that is empty
to Ray. What the decorator sets stays with the function, and is kept when ``.options()`` follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ray.remote_function import RemoteFunction

from raywf.compat.ray_workflow.common import check_metadata
from raywf.definition.lines import did_you_mean
from raywf.definition.options import Retry

OPTIONS: Final = ("task_id", "name", "metadata", "catch_exceptions", "checkpoint", "max_retries", "allow_inplace")
_FLAGS = ("catch_exceptions", "checkpoint", "allow_inplace")
_CARRIER: Final = "_labels"
_MARK: Final = "__raywf_workflow_options__"
FOR_EVER: Final = 1_000_000_000
"""Attempts, where Ray's -1 says that there is no end."""


class _Carried(dict[str, str]):
    """Labels with nothing in them for Ray, and the options of a workflow task for us."""

    workflow: Mapping[str, Any]


class options:  # noqa: N801 - the name it had
    """Options of a workflow task: a decorator above ``@ray.remote``, or ``f.options(**workflow.options(…))``.

    ``task_id`` (or ``name``), ``metadata`` (a dict for JSON), ``catch_exceptions``, ``checkpoint``, ``max_retries``. Raises
    ``ValueError``.
    """

    def __init__(self, **workflow_options: Any) -> None:
        for name, value in workflow_options.items():
            if name not in OPTIONS:
                raise ValueError(
                    f"there is no workflow option {name!r}.{did_you_mean(name, OPTIONS)} Options are {', '.join(OPTIONS)}."
                )
            if name in _FLAGS and value is not None and not isinstance(value, bool):
                raise ValueError(f"workflow option {name} is {value!r}: it is True, False or None")
        given = dict(workflow_options)
        named = given.pop("name", None)
        if named is not None and given.setdefault("task_id", named) != named:
            raise ValueError(f"task_id={given['task_id']!r} and name={named!r} mean the same: give one of them")
        task_id = given.get("task_id")
        if task_id is not None and (not isinstance(task_id, str) or not task_id):
            raise ValueError(f"task_id is {task_id!r}: it is a name")
        if "max_retries" in given:
            attempts(given["max_retries"])
        check_metadata(given.get("metadata"))
        self._given = {name: value for name, value in given.items() if value is not None}

    def keys(self) -> tuple[str, ...]:
        return (_CARRIER,)

    def __getitem__(self, key: str) -> Any:
        carried = _Carried()
        carried.workflow = self._given
        return {_CARRIER: carried}[key]

    def __call__(self, function: RemoteFunction) -> RemoteFunction:
        if not isinstance(function, RemoteFunction):
            raise ValueError(
                f"workflow.options applies to Ray's remote functions, not to {function!r:.80}: write it above @ray.remote"
            )
        body: Callable[..., Any] = function._function
        setattr(body, _MARK, {**getattr(body, _MARK, {}), **self._given})
        return function


def workflow_options(body: Callable[..., Any], bound: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow options of one call: those of the call over those of the decorator."""
    carried = bound.get(_CARRIER)
    return {**getattr(body, _MARK, {}), **(carried.workflow if isinstance(carried, _Carried) else {})}


def attempts(max_retries: Any) -> int:
    """How often a task may be tried. Raises ``ValueError``."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < -1:
        raise ValueError(f"max_retries is {max_retries!r}: it is 0, -1 (for ever) or a positive integer")
    return FOR_EVER if max_retries == -1 else max_retries + 1


_IGNORED = (
    "name",
    "max_calls",
    "enable_task_events",
    "object_store_memory",
    "max_retries",
    "retry_exceptions",
    _CARRIER,
)
_PASSED = ("num_cpus", "num_gpus", "memory", "resources")
_HINTS = {None, "DEFAULT", "SPREAD", "default"}


def task_options(who: str, bound: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Ray's options as those of a raywf task, and how many attempts it has where it raises. Raises ``ValueError`` for
    those that raywf cannot keep."""
    found: dict[str, Any] = {"runs_on": "ray"}
    for name, value in bound.items():
        if value is None or name in _IGNORED:
            continue
        if name in _PASSED:
            found[name] = {key: amount for key, amount in value.items() if amount} if name == "resources" else value
        elif name == "accelerator_type":
            found.setdefault("resources", {})[f"accelerator_type:{value}"] = 0.001
        elif name == "num_returns":
            if value != 1:
                raise ValueError(f"{who}: num_returns={value!r}: a task of a workflow has one result; return a tuple")
        elif isinstance(value, str) and value in _HINTS:
            continue
        elif name not in ("placement_group_bundle_index",):
            raise ValueError(
                f"{who}: Ray's option {name}={value!r:.60} is not kept by raywf, which places tasks by num_cpus, num_gpus, "
                "memory and resources: leave it out, or start a Ray task with it inside of this one"
            )
    retried = bound.get("retry_exceptions", False)
    if not isinstance(retried, bool):
        raise ValueError(f"{who}: retry_exceptions is {retried!r:.60}: in a workflow it is True or False")
    many = 1
    if "max_retries" in own:
        many = attempts(own["max_retries"])
    elif retried:
        many = attempts(bound.get("max_retries", 3))
    if many > 1:
        found["retry"] = Retry(max_attempts=many, initial=0.1, backoff=2.0, max_delay=5.0)
    return {key: each for key, each in found.items() if each != {}}, many
