"""What a body can say besides calling tasks: ``when``, ``loop``, ``gather``, ``sleep``, ``wait_signal``, ``approval``,
``aggregate``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from raywf.definition.asking import Flow, hearing, is_asking, plain_strategy, settled
from raywf.definition.functions import check_arity
from raywf.definition.learned import check_learned, collects, merged_by, waits_as
from raywf.definition.lines import did_you_mean
from raywf.definition.options import ON_LIMIT, check_merge, check_waiting, iterations
from raywf.definition.options import seconds as duration
from raywf.definition.panels import ASKED, check_order, panel_of
from raywf.definition.recording import holds_expression, record_condition
from raywf.definition.references import Draft, Expression
from raywf.definition.tracing import Trace, check_id, required
from raywf.definition.updates import validator_data
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.aggregation import AggregateResult, Policy

A = TypeVar("A")
B = TypeVar("B")


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"


_body = required  # one of the functions here has a parameter of that name
NOT_GIVEN: Final[Any] = _NotGiven()
"""The default of arguments for which None is a value like any other."""


@overload
def when(cond: object, then: Callable[[], A], otherwise: Callable[[], B], *, id: str | None = None) -> A | B: ...
@overload
def when(cond: object, then: Callable[[], A], otherwise: None = None, *, id: str | None = None) -> A | None: ...
def when(cond: Any, then: Any, otherwise: Any = None, *, id: str | None = None) -> Any:
    """Only one side runs. ``then`` and ``otherwise`` are callables without parameters; the tasks they call belong to
    their side, and the value is that of the side that ran (None without ``otherwise``)."""
    trace = required("raywf.when")
    if not isinstance(cond, Expression):
        raise trace.flaw(
            f"raywf.when got {cond!r:.60} as its condition, which is known while the graph is being built: write a "
            "plain `if`, or compare a reference, as in raywf.when(score < 0.7, then=…)"
        )
    data: dict[str, Any] = {"when": record_condition(cond, trace, "condition of raywf.when")}
    draft = trace.add("when", data, _given_id("raywf.when", id))
    results = {}
    for name, side in (("then", then), ("otherwise", otherwise)):
        if side is None and name == "otherwise":
            continue
        members, result = _run_side(trace, draft, name, side)
        if members:
            data[name] = members
        if result is not None:
            results[name] = result
    if results:
        data["result"] = results
    return trace.reference(draft)


def _run_side(trace: Trace, when_: Draft, name: str, side: Any) -> tuple[list[str], Any]:
    if isinstance(side, Expression) or not callable(side):
        raise trace.flaw(
            f"raywf.when: {name}= takes a callable without parameters, whose tasks run only on that side: write "
            f"{name}=lambda: …"
        )
    check_arity(f"raywf.when: {name}=", side, (), {}, line=when_.line)
    with trace.side(when_, name == "then") as members:
        value = side()
        if inspect.iscoroutine(value):
            value.close()
            raise trace.flaw(f"raywf.when: {name}= is an async function: give a plain one, or a @task")
        result = trace.record(value, f"value of the {name} side of {when_.id!r}")
    return members, result


def loop(
    body: Callable[[A], A],
    initial: A,
    *,
    until: Callable[[A], object],
    max_iterations: int | None = None,
    on_limit: str = "fail",
    id: str | None = None,
) -> A:
    """Runs ``body(state)`` again and again, from ``initial``, until ``until(state)`` holds for the state it left; gives
    that state. Both are called once, while the graph is built; the tasks they call run in every pass, under the ids
    ``name@1``, ``name@2`` and so on. After ``max_iterations`` passes (by default 1000; RAYWF_MAX_ITERATIONS) the task
    fails with ``LoopLimit``, or with ``on_limit="last"`` gives the last state."""
    trace = required("raywf.loop")
    if max_iterations is not None and not holds_expression(max_iterations):
        max_iterations = iterations(f"{trace.flaw('raywf.loop: max_iterations')}", max_iterations)
    if on_limit not in ON_LIMIT:
        raise trace.flaw(
            f"raywf.loop: on_limit is {on_limit!r}: it must be one of {', '.join(map(repr, ON_LIMIT))}."
            + did_you_mean(on_limit, ON_LIMIT)
        )
    data: dict[str, Any] = {"initial": trace.record(initial, "initial state of raywf.loop")}
    draft = trace.add("loop", {"loop": data}, _given_id("raywf.loop", id))
    trace.loops.add(draft.id)
    with trace.side(draft, True) as members:
        left = _traced_once(trace, draft, "body", body, trace.reference(draft))
        data["result"] = trace.record(left, f"state that the body of {draft.id!r} leaves")
        condition = _traced_once(trace, draft, "until", until, left)
        if not isinstance(condition, Expression):
            raise trace.flaw(
                f"raywf.loop: until gave {condition!r:.60}, which is known while the graph is being built: compare "
                "something that the body computes, as in until=lambda state: state['score'] > 0.9"
            )
        data["until"] = record_condition(condition, trace, "until of raywf.loop")
    if not members:
        raise trace.flaw("raywf.loop: body calls no task, so its state would never change: call one in it")
    data["body"] = members
    if max_iterations is not None:
        data["max_iterations"] = trace.record(max_iterations, "max_iterations of raywf.loop")
    if on_limit != "fail":
        data["on_limit"] = on_limit
    return trace.reference(draft)  # type: ignore[return-value]


def _traced_once(
    trace: Trace, draft: Draft, name: str, function: Any, state: Any, of: str = "raywf.loop", example: str = ""
) -> Any:
    """What a callable of a loop gives for a state that is not known yet; that of an update for its payload."""
    if isinstance(function, Expression) or not callable(function):
        what = "payload" if example else "state"
        raise trace.flaw(f"{of}: {name}= takes a callable of the {what}, as in {example or f'{name}=lambda state: …'}")
    check_arity(f"{of}: {name}=", function, (state,), {}, line=draft.line)
    value = function(state)
    if inspect.iscoroutine(value):
        value.close()
        raise trace.flaw(f"{of}: {name}= is an async function: give a plain one, or a @task")
    return value


def gather(*refs: Any, id: str | None = None) -> list[Any]:
    """The results of several tasks as one list, once all are there."""
    trace = required("raywf.gather")
    for ref in refs:
        if not holds_expression(ref):
            name = getattr(ref, "__name__", None)
            what = f"the function {name!r}" if callable(ref) and name else f"{ref!r:.60}"
            raise trace.flaw(f"raywf.gather takes what tasks give, as in gather(f(x), g(y)), not {what}")
    items = [trace.record(ref, f"argument {at} of raywf.gather") for at, ref in enumerate(refs)]
    draft = trace.add("gather", {"gather": items}, _given_id("raywf.gather", id))
    return trace.reference(draft)  # type: ignore[return-value]


def aggregate(
    results: Any,
    *,
    strategy: Any = "auto",
    accept_at: float = 0.7,
    reconcile: Iterable[str] = (),
    policy: Policy | None = None,
    aggregator: str | None = None,
    item: Any = None,
    quorum: int | None = None,
    at_least: int | None = None,
    timeout: float | timedelta | None = None,
    early_stop: bool = False,
    id: str | None = None,
) -> AggregateResult:
    """One answer from the answers of several tasks, as ``raywf.ResultAggregator(strategy, accept_at=accept_at).merge``
    gives it, once all are there. It need not wait for all: ``quorum`` answers are enough; after ``timeout`` seconds, from
    when all its sources could begin, it takes what there is; with ``early_stop`` it ends as soon as the answers still out
    could not change the value. Then a source that fails does not answer, and what still runs is cancelled. Fewer than
    ``at_least`` answers (default: the quorum, else 1) fail the task with ``TooFewAnswers``.

    ``strategy`` and ``reconcile`` are those of ``ResultAggregator``; the ``validate`` of ``Fields`` is a class here. Judges and
    writers are tasks (a plain function becomes one), asked once all answers are there and only where these differ; one whose
    attempts are used up is a voice less. ``policy`` says what to do where the answer is not accepted: its ``MoreSamples`` and
    ``TieBreak`` take callables that call a task, ``AskPerson`` is an approval of the answer. What is asked is a task each, so
    nobody is asked twice; the value is the last result.

    ``results`` is a list of references, or a reference to a list (a fan-out, a ``gather``). A result is an answer as it
    stands; or a ``Candidate`` that a task made; or a dict of ``value`` and any of ``source, confidence, probs, weight``
    (in a body, write the dict); or another merge's ``AggregateResult``, which counts with its confidence. None abstains.
    The source is the id of the task that gave it (``name[3]`` in a fan-out), where it does not say another. Numbers out
    of range fail the task with ``InvalidInput``; an unknown strategy is a ``DefinitionError``.

    ``aggregator`` names one of the store: it is told what was said under ``item`` (a text or a reference to one; else the execution's
    id), answers from all it knows, and learns from ``engine.aggregator(name).feedback(item, truth)``. ``strategy="stack"`` and
    ``"best_source"`` need it; until it has 50 truths they count votes, and ``rung``, ``why`` and ``calibrated`` say so.
    """
    trace = required("raywf.aggregate")
    if not isinstance(results, (list, tuple, Expression)):
        raise trace.flaw(
            f"raywf.aggregate takes a list of what tasks give, as in aggregate([f(x), g(x)]), not {results!r:.60}. A "
            'result names its source as {"source": "gpt", "value": f(x)}'
        )
    for each in results if isinstance(results, (list, tuple)) else ():
        if callable(each) and not isinstance(each, Expression):
            name = getattr(each, "__name__", repr(each))
            raise trace.flaw(f"raywf.aggregate merges what tasks give, and {name} was not called: write {name}(…)")
    plain = strategy if holds_expression(strategy) else plain_strategy(trace, strategy)
    reconcile = [reconcile] if isinstance(reconcile, str) else list(reconcile)
    check_learned(trace, aggregator, item, strategy, accept_at, reconcile)
    check_merge(
        f"{trace.flaw('raywf.aggregate')}", "auto" if holds_expression(plain) else plain,
        0.7 if holds_expression(accept_at) else accept_at, reconcile, learns=aggregator is not None,
    )  # fmt: skip
    waiting = {"quorum": quorum, "at_least": at_least, "early_stop": early_stop, "strategy": waits_as(plain, aggregator),
               "timeout": None if holds_expression(timeout) else timeout}  # fmt: skip
    count = None if isinstance(results, Expression) else len(results)
    check_waiting(f"{trace.flaw('raywf.aggregate')}", waiting, count)
    how: dict[str, Any] = {"reconcile": reconcile} if reconcile else {}
    for name, value, usual in (("strategy", collects(aggregator, plain), "auto"), ("accept_at", accept_at, 0.7)):
        if holds_expression(value) or value != usual:
            how[name] = trace.record(value, f"{name} of raywf.aggregate")

    said: list[Any] = []

    def merge(given: Any, waits: Mapping[str, Any] | None = None, id: str | None = None) -> Any:
        listed = list(given) if isinstance(given, tuple) else given
        data = {"results": trace.record(listed, "results of raywf.aggregate"), **how, **(waits or {})}
        if aggregator is None:
            return trace.reference(trace.add("aggregate", {"aggregate": data}, id))
        said.append(trace.reference(trace.add("candidates", {"aggregate": data})))
        return merged_by(trace, said[-1], aggregator, item, plain, accept_at, id)

    waits = {
        name: waiting[name]
        for name in ("quorum", "at_least", "early_stop")
        if waiting[name] is not None and waiting[name] is not False
    }
    if timeout is not None:
        waits["timeout"] = _seconds(trace, "raywf.aggregate: timeout", timeout)
    merged = merge(results, waits, _given_id("raywf.aggregate", id))
    if is_asking(strategy):
        merged = hearing(trace, merged, strategy, accept_at)
    if policy is None:
        return merged  # type: ignore[no-any-return]
    may_use = said[:1] or (None if waits or isinstance(results, Expression) else list(results))
    return settled(trace, merged, may_use, policy, Flow(when, approval, merge, accept_at), strategy)  # type: ignore[no-any-return]


@overload
def sleep(seconds: float | timedelta, value: A, *, id: str | None = None) -> A: ...
@overload
def sleep(seconds: float | timedelta, *, id: str | None = None) -> None: ...
def sleep(seconds: Any, value: Any = None, *, id: str | None = None) -> Any:
    """Starts when ``value`` is there and gives it ``seconds`` later; costs a row, not a process. A sleep that nothing
    uses is a ``DefinitionError``."""
    trace = required("raywf.sleep")
    data: dict[str, Any] = {"seconds": _seconds(trace, "raywf.sleep: seconds", seconds, zero=True)}
    if value is not None:
        data["value"] = trace.record(value, "value of raywf.sleep")
    return trace.reference(trace.add("sleep", {"sleep": data}, _given_id("raywf.sleep", id)))


def wait_signal(
    name: Any,
    timeout: float | timedelta | None = None,
    default: Any = NOT_GIVEN,
    schema: Any = None,
    *,
    id: str | None = None,
) -> Any:
    """The payload of the next signal of that name. After ``timeout`` seconds the task gives ``default``, or fails if
    there is none. ``schema`` (a type, or a JSON schema) says what a payload must look like."""
    trace = required("raywf.wait_signal")
    if not isinstance(name, str) or not name:
        raise trace.flaw(f"raywf.wait_signal: the name of a signal is text, not {name!r:.60}")
    data: dict[str, Any] = {"name": trace.record(name, "name of raywf.wait_signal")}
    if timeout is not None:
        data["timeout"] = _seconds(trace, "raywf.wait_signal: timeout", timeout)
    if default is not NOT_GIVEN:
        data["default"] = trace.record(default, "default of raywf.wait_signal")
    if schema is not None:
        data["schema"] = _json_schema(trace, schema)
    draft = trace.add("wait_signal", {"signal": data}, _given_id("raywf.wait_signal", id))
    return trace.reference(draft)


def wait_update(
    name: Any,
    *,
    validator: Any = None,
    answer: Callable[[Any], Any] | None = None,
    timeout: float | timedelta | None = None,
    default: Any = NOT_GIVEN,
    schema: Any = None,
    id: str | None = None,
) -> Any:
    """Waits for ``handle.update(name, payload)``: a signal that is accepted or refused before it is recorded, and answered.

    ``validator`` is a function or ``@task`` of the payload that raises to refuse it (or gives False); the caller gets what
    it raised. ``answer`` is a task, or a callable of the payload that calls one, traced once: its result is what this gives, and
    what the caller gets. Without it this gives the payload. ``timeout``, ``default`` and ``schema`` as in ``wait_signal``.
    """
    trace = required("raywf.wait_update")
    if not isinstance(name, str) or not name:
        raise trace.flaw(f"raywf.wait_update: the name of an update is text, not {name!r:.60}")
    update: dict[str, Any] = {}
    data: dict[str, Any] = {"name": name, "update": update}
    if timeout is not None:
        data["timeout"] = _seconds(trace, "raywf.wait_update: timeout", timeout)
    if default is not NOT_GIVEN:
        data["default"] = trace.record(default, "default of raywf.wait_update")
    if schema is not None:
        data["schema"] = _json_schema(trace, schema)
    if validator is not None:
        try:
            update["validator"] = validator_data(validator, trace.know)
        except DefinitionError as error:
            raise trace.flaw(f"raywf.wait_update: {error}") from None
    draft = trace.add("wait_update", {"signal": data}, _given_id("raywf.wait_update", id))
    payload = trace.reference(draft)
    if answer is None:
        return payload
    reply = _traced_once(trace, draft, "answer", answer, payload, of="raywf.wait_update", example="answer=apply")
    recorded = trace.record(reply, "answer of raywf.wait_update")
    ref = recorded.get("$ref") if isinstance(recorded, dict) else None
    if not isinstance(ref, str) or ref.partition(".")[0] in ("input", draft.id):
        raise trace.flaw(
            f"raywf.wait_update: answer= gave {reply!r:.80}: the answer of an update is what a task gives, as in "
            "answer=lambda change: apply(order, change)"
        )
    update["answer"] = recorded
    return reply


@overload
def approval(
    prompt: str,
    data: A,
    timeout: float | timedelta | None = None,
    on_reject: Any = NOT_GIVEN,
    on_timeout: Any = NOT_GIVEN,
    *,
    assignee: str | None = None,
    approvers: Any = None,
    required: int = 1,
    escalate_after: float | timedelta | None = None,
    escalate_to: Any = None,
    id: str | None = None,
) -> A: ...
@overload
def approval(
    prompt: str,
    *,
    timeout: float | timedelta | None = None,
    on_reject: Any = NOT_GIVEN,
    on_timeout: Any = NOT_GIVEN,
    assignee: str | None = None,
    approvers: Any = None,
    required: int = 1,
    escalate_after: float | timedelta | None = None,
    escalate_to: Any = None,
    id: str | None = None,
) -> Any: ...
def approval(
    prompt: Any,
    data: Any = None,
    timeout: Any = None,
    on_reject: Any = NOT_GIVEN,
    on_timeout: Any = NOT_GIVEN,
    *,
    assignee: str | None = None,
    approvers: Any = None,
    required: int = 1,
    escalate_after: float | timedelta | None = None,
    escalate_to: Any = None,
    id: str | None = None,
) -> Any:
    """Asks persons. Gives ``data`` when approved; rejection and timeout give ``on_reject`` and ``on_timeout``, or fail the
    task where these are not given.

    Anybody may answer, or ``assignee`` and ``approvers`` only (names; references too); ``required`` of them must approve, and
    it is rejected once too few are left who could. After ``escalate_after`` seconds ``escalate_to`` may answer as well.
    Without ``timeout`` it waits for 30 days (RAYWF_APPROVAL_TIMEOUT).
    """
    trace = _body("raywf.approval")
    spec: dict[str, Any] = {"prompt": trace.record(prompt, "prompt of raywf.approval")}
    if data is not None:
        spec["data"] = trace.record(data, "data of raywf.approval")
    if timeout is not None:
        spec["timeout"] = _seconds(trace, "raywf.approval: timeout", timeout)
    for name, value in (("on_reject", on_reject), ("on_timeout", on_timeout)):
        if value is not NOT_GIVEN:
            spec[name] = trace.record(value, f"{name} of raywf.approval")
    asked = {"assignee": assignee, "approvers": approvers, "required": required, "escalate_to": escalate_to}
    if escalate_after is not None:
        spec["escalate_after"] = _seconds(trace, "raywf.approval: escalate_after", escalate_after)
    try:
        known = frozenset(name for name in ASKED if not holds_expression(asked.get(name)))
        panel_of({**asked, "escalate_after": escalate_after}, known)
        check_order(spec.get("escalate_after"), spec.get("timeout"))
    except ValueError as error:
        raise trace.flaw(f"raywf.approval: {error}") from None
    for name, value in asked.items():
        if name not in known or (value is not None and value != (1 if name == "required" else None)):
            alone = name in ("approvers", "escalate_to") and isinstance(value, str)
            spec[name] = trace.record([value] if alone else value, f"{name} of raywf.approval")
    return trace.reference(trace.add("approval", {"approval": spec}, _given_id("raywf.approval", id)))


def _given_id(who: str, id: str | None) -> str | None:
    return None if id is None else check_id(who, id)


def _seconds(trace: Trace, what: str, value: Any, *, zero: bool = False) -> Any:
    if holds_expression(value):
        return trace.record(value, what)
    return duration(f"{trace.flaw(what)}", value, zero=zero)


def _json_schema(trace: Trace, schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return dict(schema)
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(schema).json_schema()
    except (PydanticUserError, TypeError) as error:
        raise trace.flaw(f"raywf.wait_signal: schema={schema!r:.60} has no JSON schema ({error})") from None
