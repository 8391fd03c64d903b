"""Spans and metrics. One span per execution, one per attempt, eight metrics; nothing is paid for what nobody exports.

Spans are exported when ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set and the OTLP exporter is installed
(``pip install opentelemetry-exporter-otlp-proto-http``), or when ``RAYWF_TRACE`` names ``console`` or a file that gets a
JSON object per span. Metrics go the same two ways (``RAYWF_METRICS`` for console or file).

==============================  ==========  =========================================================
metric                          kind        attributes
==============================  ==========  =========================================================
``raywf.executions.started``    counter     workflow
``raywf.executions.ended``      counter     workflow, status
``raywf.executions.open``       gauge       -
``raywf.attempts.ended``        counter     workflow, outcome (completed, failed, cancelled)
``raywf.attempt.duration``      histogram   workflow; seconds
``raywf.commit.duration``       histogram   -; seconds
``raywf.pool.workers``          gauge       pool, state (unplaced, loading, ready, busy)
``raywf.pool.backlog``          gauge       pool; tasks that wait for a worker
==============================  ==========  =========================================================

The trace context goes on after a crash: trace id and span id of an execution's own span are fixed when it is submitted,
whoever ends it. Where the caller is in a trace they are a W3C ``traceparent`` in the journal, else they follow from its id.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raywf.core.failures import Failure

log = logging.getLogger("raywf.telemetry")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def new_traceparent(bits: int, trace_id: str | None = None) -> str:
    """A W3C traceparent from 192 random bits; ``trace_id`` (32 hex digits) joins a trace that exists."""
    own = f"{(bits >> 64) & (2**128 - 1) or 1:032x}"
    return f"00-{trace_id or own}-{bits & (2**64 - 1) or 1:016x}-01"


def traceparent_of(row: Any) -> str:
    """The W3C traceparent of an execution: the one that was journaled, else one that follows from its id, so that it
    is the same for whoever ends the execution."""
    if row.traceparent:
        return str(row.traceparent)
    return new_traceparent(int.from_bytes(hashlib.sha256(row.id.encode()).digest()[:24], "big"))


def trace_id_of(traceparent: str | None) -> str | None:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found.group(1) if found else None


def current_trace_id() -> str | None:
    """The trace that the caller is in, if it uses OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


class Telemetry:
    """What the host reports to. This base counts, which costs next to nothing, and exports nothing."""

    spans = False

    def __init__(self) -> None:
        self.started = 0
        self.ended: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.commits = 0
        self.rows = 0
        self.commit_s = 0.0

    def execution_started(self, live: Any) -> None:
        self.started += 1

    def execution_ended(self, live: Any) -> None:
        status = live.state.closed.value
        self.ended[status] = self.ended.get(status, 0) + 1

    def attempt_ended(self, live: Any, where: str, attempt: int, outcome: bytes | Failure | None, began: float) -> None:
        """``began`` is when the attempt was handed out, in seconds since the epoch."""
        kind = "completed" if type(outcome) is bytes else _outcome(outcome)
        self.attempts[kind] = self.attempts.get(kind, 0) + 1

    def committed(self, rows: int, seconds: float) -> None:
        self.commits += 1
        self.rows += rows
        self.commit_s += seconds

    def pool_stands(self, pool: str, counts: Any) -> None:
        """How the workers of a pool stand now."""

    def traceparent(self, live: Any) -> str | None:
        """The trace context that a child execution starts in."""
        return None

    def counts(self) -> dict[str, Any]:
        return {
            "executions_started": self.started,
            "executions_ended": dict(self.ended),
            "attempts_ended": dict(self.attempts),
            "commits": self.commits,
            "rows": self.rows,
            "commit_s": round(self.commit_s, 6),
        }

    def close(self) -> None:
        """Export what is left."""


def _outcome(outcome: bytes | Failure | None) -> str:
    if isinstance(outcome, Failure):
        return "failed"
    return "cancelled" if outcome is None else "completed"


def telemetry(env: Mapping[str, str], attributes: Mapping[str, str]) -> Telemetry:
    """The telemetry that the environment asks for."""
    trace, metrics = env.get("RAYWF_TRACE"), env.get("RAYWF_METRICS")
    otlp = env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not (trace or metrics or otlp) or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Telemetry()
    return Exported(trace, metrics, bool(otlp), attributes)


def pool_metrics(env: Mapping[str, str], namespace: str, pool: str) -> Callable[[Any], None]:
    """Where a crew reports how it stands (``core.crews.Counts``), as the environment asks for."""
    if not (env.get("RAYWF_METRICS") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
        return lambda counts: None
    found = telemetry({**env, "RAYWF_TRACE": ""}, {"raywf.namespace": namespace, "raywf.pool": pool})
    return functools.partial(found.pool_stands, pool)


class Exported(Telemetry):
    """Telemetry through the OpenTelemetry SDK."""

    def __init__(self, trace: str | None, metrics: str | None, otlp: bool, attributes: Mapping[str, str]) -> None:
        super().__init__()
        from opentelemetry.sdk.resources import Resource

        resource = Resource.create({"service.name": "raywf", **attributes})
        self._ids = _ids()
        self._tracing = self._tracer(trace, otlp, resource)
        self._metering = self._meter(metrics, otlp, resource)
        self.spans = self._tracing is not None
        self.open_now = 0
        self._stood: dict[tuple[str, ...], int] = {}

    def _tracer(self, target: str | None, otlp: bool, resource: Any) -> Any:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporters = [_span_file(target)] if target else []
        if otlp and (exporter := _otlp("trace_exporter", "OTLPSpanExporter")) is not None:
            exporters.append(exporter)
        if not exporters:
            return None
        provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        for each in exporters:
            provider.add_span_processor(BatchSpanProcessor(each, schedule_delay_millis=500))
        self._provider = provider
        return provider.get_tracer("raywf")

    def _meter(self, target: str | None, otlp: bool, resource: Any) -> Any:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        exporters = [_metric_file(target)] if target else []
        if otlp and (exporter := _otlp("metric_exporter", "OTLPMetricExporter")) is not None:
            exporters.append(exporter)
        readers = [PeriodicExportingMetricReader(each, export_interval_millis=5000) for each in exporters]
        if not readers:
            return None
        self._meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
        meter = self._meters.get_meter("raywf")
        return {
            "started": meter.create_counter("raywf.executions.started"),
            "ended": meter.create_counter("raywf.executions.ended"),
            "open": meter.create_up_down_counter("raywf.executions.open"),
            "attempts": meter.create_counter("raywf.attempts.ended"),
            "attempt_s": meter.create_histogram("raywf.attempt.duration", unit="s"),
            "commit_s": meter.create_histogram("raywf.commit.duration", unit="s"),
            "workers": meter.create_up_down_counter("raywf.pool.workers"),
            "backlog": meter.create_up_down_counter("raywf.pool.backlog"),
        }

    def execution_started(self, live: Any) -> None:
        super().execution_started(live)
        if self._metering:
            self._metering["started"].add(1, {"workflow": live.row.workflow})
            self._metering["open"].add(1)

    def execution_ended(self, live: Any) -> None:
        super().execution_ended(live)
        status = live.state.closed.value
        if self._metering:
            self._metering["ended"].add(1, {"workflow": live.row.workflow, "status": status})
            self._metering["open"].add(-1)
        found = _TRACEPARENT.fullmatch(traceparent_of(live.row))
        if self._tracing is None or found is None:
            return
        attributes = {"raywf.execution": live.id, "raywf.workflow": live.row.workflow, "raywf.status": status}
        self._ids.chosen.span, self._ids.chosen.trace = int(found.group(2), 16), int(found.group(1), 16)
        try:
            span = self._tracing.start_span(
                f"execution {live.row.workflow}", _root(), attributes=attributes, start_time=_ns(live.row.created_at)
            )
        finally:
            self._ids.chosen.span = self._ids.chosen.trace = None
        _end(span, live.state.closing.failure if live.state.closing else None)

    def attempt_ended(self, live: Any, where: str, attempt: int, outcome: bytes | Failure | None, began: float) -> None:
        super().attempt_ended(live, where, attempt, outcome, began)
        import time

        if self._metering:
            self._metering["attempts"].add(1, {"workflow": live.row.workflow, "outcome": _outcome(outcome)})
            self._metering["attempt_s"].record(max(0.0, time.time() - began), {"workflow": live.row.workflow})
        context = _remote(traceparent_of(live.row))
        if self._tracing is None or context is None:
            return
        attributes = {"raywf.execution": live.id, "raywf.task": where, "raywf.attempt": attempt}
        span = self._tracing.start_span(f"task {where}", context, attributes=attributes, start_time=_ns(began))
        _end(span, outcome if isinstance(outcome, Failure) else None)

    def committed(self, rows: int, seconds: float) -> None:
        super().committed(rows, seconds)
        if self._metering:
            self._metering["commit_s"].record(seconds)

    def pool_stands(self, pool: str, counts: Any) -> None:
        if not self._metering:
            return
        states = {"unplaced": counts.asked, "loading": counts.loading, "ready": counts.ready, "busy": counts.busy}
        for state, now in states.items():
            self._moved("workers", {"pool": pool, "state": state}, now)
        self._moved("backlog", {"pool": pool}, counts.waiting)

    def _moved(self, metric: str, attributes: dict[str, str], now: int) -> None:
        """Have an up-down counter stand at ``now``."""
        key = (metric, *attributes.values())
        if now != self._stood.get(key, 0):
            self._metering[metric].add(now - self._stood.get(key, 0), attributes)
            self._stood[key] = now

    def traceparent(self, live: Any) -> str | None:
        trace = trace_id_of(traceparent_of(live.row))
        return new_traceparent(int.from_bytes(os.urandom(24), "big"), trace) if trace else None

    def close(self) -> None:
        for provider in (getattr(self, "_provider", None), getattr(self, "_meters", None)):
            if provider is not None:
                provider.shutdown()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _end(span: Any, failure: Failure | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, f"{failure.type}: {failure.message}"[:500]))
        attributes = {"exception.type": failure.type, "exception.message": failure.message[:2000]}
        span.add_event("exception", {**attributes, "exception.stacktrace": failure.traceback})
    span.end()


def _root() -> Any:
    from opentelemetry.context import Context

    return Context()


def _remote(traceparent: str | None) -> Any:
    from opentelemetry import trace

    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    context = trace.SpanContext(
        int(found.group(1), 16), int(found.group(2), 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context), _root())


def _ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class ChosenIds(RandomIdGenerator):
        """Random ids, unless the next one was chosen (by this thread) beforehand."""

        def __init__(self) -> None:
            self.chosen = threading.local()

        def generate_span_id(self) -> int:
            return getattr(self.chosen, "span", None) or super().generate_span_id()

        def generate_trace_id(self) -> int:
            return getattr(self.chosen, "trace", None) or super().generate_trace_id()

    return ChosenIds()


def _otlp(module: str, name: str) -> Any:
    import importlib

    for protocol in ("http", "grpc"):
        try:
            return getattr(importlib.import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), name)()
        except ImportError:
            continue
    log.warning(
        "OTEL_EXPORTER_OTLP_ENDPOINT is set but no OTLP exporter is installed, so nothing is exported: "
        "pip install opentelemetry-exporter-otlp-proto-http"
    )
    return None


def _span_file(target: str) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

    if target == "console":
        return ConsoleSpanExporter()

    class FileSpans(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            lines = [json.dumps(json.loads(span.to_json(indent=None))) + "\n" for span in spans]
            with open(target, "a", encoding="utf-8") as file:
                file.writelines(lines)
            return SpanExportResult.SUCCESS

    return FileSpans()


def _metric_file(target: str) -> Any:
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

    if target == "console":
        return ConsoleMetricExporter()
    file = open(target, "a", encoding="utf-8")  # noqa: SIM115 - closed with the exporter

    class FileMetrics(ConsoleMetricExporter):
        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            super().shutdown(timeout_millis, **kwargs)
            file.close()

    return FileMetrics(out=file, formatter=lambda data: data.to_json(indent=None) + "\n")
