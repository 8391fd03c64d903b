"""The shop window of raywf: its public names, loaded when they are first used. ``import raywf`` starts nothing."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if not os.path.isdir(os.path.join(os.path.dirname(__file__), "actors")):
    # A checkout without symbolic links: `actors/` lies beside this package and is found there.
    __path__.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

__version__ = "0.1.0"

_HOME = {
    "task": "raywf.definition.tasks",
    "workflow": "raywf.definition.workflows",
    "Workflow": "raywf.definition.workflows",
    "Task": "raywf.definition.tasks",
    "Retry": "raywf.definition.options",
    "Cache": "raywf.definition.caching",
    "Limit": "raywf.definition.limits",
    "Workers": "raywf.definition.workers",
    "worker_state": "raywf.definition.warmth",
    "Rate": "raywf.definition.limits",
    "when": "raywf.definition.flow",
    "gather": "raywf.definition.flow",
    "loop": "raywf.definition.flow",
    "aggregate": "raywf.definition.flow",
    "sleep": "raywf.definition.flow",
    "wait_signal": "raywf.definition.flow",
    "wait_update": "raywf.definition.flow",
    "approval": "raywf.definition.flow",
    "continuation": "raywf.definition.continuation",
    "migration": "raywf.definition.migrations",
    "on_cron": "raywf.definition.schedules",
    "on_event": "raywf.definition.events",
    "Webhook": "raywf.client.webhooks",
    "Debounce": "raywf.definition.starts",
    "Singleton": "raywf.definition.starts",
    "Batch": "raywf.definition.starts",
    "current": "raywf.definition.context",
    "secret": "raywf.definition.secrets",
    "template": "raywf.definition.parametrised",
    "WorkflowDefinition": "raywf.definition.model",
    "Codec": "raywf.sealing",
    "connect": "raywf.client",
    "connect_async": "raywf.client",
    "WorkflowEngine": "raywf.client",
    "Archive": "raywf.client",
    "ExportedExecution": "raywf.client",
    "Candidate": "raywf.aggregation",
    "ResultAggregator": "raywf.aggregation",
    "AggregateResult": "raywf.aggregation",
    "RaywfError": "raywf.errors",
    "DefinitionError": "raywf.errors",
    "WorkflowFailed": "raywf.errors",
    "WorkflowCancelled": "raywf.errors",
    "NotFound": "raywf.errors",
    "AlreadyExists": "raywf.errors",
    "ExecutionClosed": "raywf.errors",
    "InvalidInput": "raywf.errors",
    "KeyMissing": "raywf.errors",
    "SealBroken": "raywf.errors",
    "NotConnected": "raywf.errors",
    "StoreUnavailable": "raywf.errors",
    "CodeMissing": "raywf.errors",
    "HeartbeatTimeout": "raywf.errors",
    "InDoubt": "raywf.errors",
    "WorkerLost": "raywf.errors",
    "LoopLimit": "raywf.errors",
    "ResultTimeout": "raywf.errors",
    "SetupFailed": "raywf.errors",
    "AttemptEnded": "raywf.errors",
    "BudgetExceeded": "raywf.errors",
    "RateLimited": "raywf.errors",
    "ProviderError": "raywf.errors",
    "TooFewAnswers": "raywf.errors",
    "ValidationFailed": "raywf.errors",
    "PermissionDenied": "raywf.errors",
}
"""Public name -> the module it lives in."""

if TYPE_CHECKING:
    from raywf import tasks as tasks
    from raywf import testing as testing
    from raywf.aggregation import AggregateResult, Candidate, ResultAggregator
    from raywf.client import Archive, ExportedExecution, WorkflowEngine, connect, connect_async
    from raywf.client.webhooks import Webhook
    from raywf.definition import patterns as patterns
    from raywf.definition.caching import Cache
    from raywf.definition.context import current
    from raywf.definition.continuation import continuation
    from raywf.definition.events import on_event
    from raywf.definition.flow import aggregate, approval, gather, loop, sleep, wait_signal, wait_update, when
    from raywf.definition.limits import Limit, Rate
    from raywf.definition.migrations import migration
    from raywf.definition.model import WorkflowDefinition
    from raywf.definition.options import Retry
    from raywf.definition.parametrised import template
    from raywf.definition.schedules import on_cron
    from raywf.definition.secrets import secret
    from raywf.definition.starts import Batch, Debounce, Singleton
    from raywf.definition.tasks import Task, task
    from raywf.definition.warmth import worker_state
    from raywf.definition.workers import Workers
    from raywf.definition.workflows import Workflow, workflow
    from raywf.errors import (
        AlreadyExists,
        AttemptEnded,
        BudgetExceeded,
        CodeMissing,
        DefinitionError,
        ExecutionClosed,
        HeartbeatTimeout,
        InDoubt,
        InvalidInput,
        KeyMissing,
        LoopLimit,
        NotConnected,
        NotFound,
        PermissionDenied,
        ProviderError,
        RateLimited,
        RaywfError,
        ResultTimeout,
        SealBroken,
        SetupFailed,
        StoreUnavailable,
        TooFewAnswers,
        ValidationFailed,
        WorkerLost,
        WorkflowCancelled,
        WorkflowFailed,
    )
    from raywf.sealing import Codec


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("raywf.testing")
    if name == "patterns":
        return import_module("raywf.definition.patterns")
    if name == "tasks":
        return import_module("raywf.tasks")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'raywf' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


__all__ = [
    "AggregateResult",
    "AlreadyExists",
    "Archive",
    "AttemptEnded",
    "Batch",
    "BudgetExceeded",
    "Cache",
    "Candidate",
    "CodeMissing",
    "Codec",
    "Debounce",
    "DefinitionError",
    "ExecutionClosed",
    "ExportedExecution",
    "HeartbeatTimeout",
    "InDoubt",
    "InvalidInput",
    "KeyMissing",
    "Limit",
    "LoopLimit",
    "NotConnected",
    "NotFound",
    "PermissionDenied",
    "ProviderError",
    "Rate",
    "RateLimited",
    "RaywfError",
    "ResultAggregator",
    "ResultTimeout",
    "Retry",
    "SealBroken",
    "SetupFailed",
    "Singleton",
    "StoreUnavailable",
    "Task",
    "TooFewAnswers",
    "ValidationFailed",
    "Webhook",
    "WorkerLost",
    "Workers",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowDefinition",
    "WorkflowEngine",
    "WorkflowFailed",
    "__version__",
    "aggregate",
    "approval",
    "connect",
    "connect_async",
    "continuation",
    "current",
    "gather",
    "loop",
    "migration",
    "on_cron",
    "on_event",
    "secret",
    "sleep",
    "task",
    "template",
    "wait_signal",
    "wait_update",
    "when",
    "worker_state",
    "workflow",
]
