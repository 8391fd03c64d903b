"""Merges that ask somebody, as the tasks they become.

A judge is a task, a further source is a task, a person is an approval: each with its own attempts, limits and history, none asked
twice after a crash. So a merge with ``Judge``, ``Jury`` or ``Synthesis``, or with a ``Policy``, is a small graph around a plain merge:

    aggregate ── answers ── judge.map ── verdict          Judge, Jury: the answers in both orders, the replies, what they come to
    aggregate ── when not accepted ── …                   Policy: each step inside the side where the one before was not enough

Between the tasks stand the pure functions of ``raywf.aggregation.recorded``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from raywf.definition.references import Reference
from raywf.definition.strategies import strategy_data
from raywf.definition.tasks import Task, task
from raywf.definition.tracing import Trace
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.aggregation import Judge, Jury, Policy, Synthesis

_RECORDED = "raywf.aggregation.recorded"


class Flow(NamedTuple):
    """What a body says, as it is needed here: ``when``, ``approval``, and a plain merge of results."""

    when: Callable[..., Any]
    approval: Callable[..., Any]
    merge: Callable[[list[Any]], Any]
    accept_at: Any


def is_asking(strategy: object) -> bool:
    from raywf.aggregation import Judge, Jury, Synthesis

    return isinstance(strategy, Judge | Jury | Synthesis)


def hearing(trace: Trace, merged: Any, asked: Judge | Jury | Synthesis, accept_at: Any) -> Any:
    """The tasks by which judges and writers hear the answers of ``merged``, and their verdict."""
    from raywf.aggregation import Jury, Synthesis

    judging = asked.judge if isinstance(asked, Synthesis) else asked
    judges = () if judging is None else judging.judges if isinstance(judging, Jury) else (judging,)
    how = {
        "kind": type(asked).__name__.lower(),
        "jury": isinstance(judging, Jury),
        "judges": [[each.name, each.swap] for each in judges],
    }
    said: dict[str, Any] = {}
    if isinstance(asked, Synthesis):
        said["the writer"] = _replies(trace, merged, how, "the writer", asked.write, {})
    written = dict(said)
    for judge in judges:
        said[judge.name] = _replies(trace, merged, how, judge.name, judge.ask, written)
    return _recorded(trace, "verdict", "heard", merged, how, accept_at, said)


def _replies(trace: Trace, merged: Any, how: dict[str, Any], name: str, ask: Any, said: dict[str, Any]) -> Any:
    """The replies of one judge: a fan-out over the lists of answers, none where there is nothing to ask."""
    judge = ask if isinstance(ask, Task) else task(ask)
    if "fallback" not in judge.options:
        from raywf.aggregation.recorded import no_reply

        judge = judge.with_options(fallback=no_reply, id=judge.call_id)
    lists = _recorded(trace, "answers", "to_ask", merged, how, name, dict(said))
    return judge.map(lists)


def settled(trace: Trace, merged: Any, results: Sequence[Any] | None, policy: Policy, flow: Flow, strategy: Any) -> Any:
    """``merged``, and where it is not accepted what ``policy`` says. ``results`` are what went in; None: nobody else may use
    them, so what went in is taken from ``merged``. Raises ``DefinitionError`` for a policy that names sources."""
    from raywf.aggregation import Policy

    if not isinstance(policy, Policy):
        raise trace.flaw(
            f"raywf.aggregate: policy is {policy!r:.80}: it is a raywf.aggregation.Policy, as in Policy(AskJudge(judge), Abstain())"
        )
    steps = list(_steps(trace, policy))
    if is_asking(strategy) and any(isinstance(step, tuple) for step in steps):
        raise trace.flaw(
            f"raywf.aggregate: strategy {type(strategy).__name__} asks once all answers are there, so a further source would not be heard: "
            "leave the strategy out and put AskJudge behind MoreSamples and TieBreak in the policy"
        )
    return _from(trace, merged, results, steps, flow) if steps else merged


def _steps(trace: Trace, policy: Policy) -> Iterator[Any]:
    """One step for each that is asked: a further source as ``(call, weight)``."""
    from raywf.aggregation import MoreSamples, TieBreak

    for step in policy.steps:
        if not isinstance(step, MoreSamples | TieBreak):
            yield step
            continue
        calls = step.sources if isinstance(step, MoreSamples) else (step.source,)
        for call in calls:
            if not callable(call):
                raise trace.flaw(
                    f"raywf.aggregate: {type(step).__name__}({call!r:.60}) names a source, and a workflow asks one by calling a task: "
                    f"write {type(step).__name__}(lambda: ask({call!r:.60}, question))"
                )
            yield call, 1.0 if isinstance(step, MoreSamples) else step.weight


def _from(trace: Trace, merged: Any, results: Sequence[Any] | None, steps: list[Any], flow: Flow) -> Any:
    """From here on: the merge where it is accepted or the steps are used up, else the next step and what follows it."""
    more = next((at for at, each in enumerate(steps) if not isinstance(each, tuple)), len(steps))
    if more:
        merged, results, steps = _sampled(trace, merged, results, steps[:more], flow), None, steps[more:]
    if not steps:
        return merged
    return flow.when(
        merged.decision == "accepted",
        then=lambda: merged,
        otherwise=lambda: _take(trace, merged, results, steps[0], steps[1:], flow),
    )


def _take(trace: Trace, merged: Any, results: Sequence[Any] | None, step: Any, rest: list[Any], flow: Flow) -> Any:
    from raywf.aggregation import AskJudge, AskPerson

    if isinstance(step, AskJudge):
        return _from(trace, hearing(trace, merged, step.judging, flow.accept_at), results, rest, flow)
    if isinstance(step, AskPerson):
        approved = flow.approval(
            f"{step.prompt} The sources say: {merged.value}", data=True, timeout=step.timeout, on_reject=False,
            on_timeout=False,
        )  # fmt: skip
        return _from(trace, _recorded(trace, "by_person", "by_person", merged, approved), results, rest, flow)
    return _recorded(trace, "no_answer", "no_answer", merged)  # Abstain: what stands behind it is never reached


def _sampled(trace: Trace, merged: Any, results: Sequence[Any] | None, steps: Sequence[Any], flow: Flow) -> Any:
    """The merge with further sources, one after another, until it is accepted or another one could not help."""
    if not steps:
        return merged
    call, weight = steps[0]

    def ask() -> Any:
        answer = call()
        if not isinstance(answer, Reference):
            raise trace.flaw(
                f"raywf.aggregate: a step of the policy gave {answer!r:.60} while the graph was being built: it calls a task, as in "
                "MoreSamples(lambda: ask(question))"
            )
        before = results if results is not None else [_recorded(trace, "candidates", "candidates_of", merged)]
        heard = [*before, answer if weight == 1.0 else {"value": answer, "weight": weight}]
        return _sampled(trace, flow.merge(heard), heard, steps[1:], flow)

    def if_it_helps() -> Any:
        helps = _recorded(trace, "more_may_help", "more_may_help", merged)
        return flow.when(helps, then=ask, otherwise=lambda: merged)

    return flow.when(merged.decision == "accepted", then=lambda: merged, otherwise=if_it_helps)


def _recorded(trace: Trace, stem: str, function: str, *args: Any) -> Any:
    data = {
        "function": f"{_RECORDED}:{function}",
        "args": [trace.record(each, f"argument {at} of {stem}") for at, each in enumerate(args)],
    }
    return trace.reference(trace.add(stem, data))


def plain_strategy(trace: Trace, strategy: Any) -> Any:
    """The strategy of the plain merge, as it is stored."""
    if is_asking(strategy):
        return "auto"
    try:
        return strategy_data(strategy)
    except DefinitionError as error:
        raise trace.flaw(f"raywf.aggregate: {error}") from None
