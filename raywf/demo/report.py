"""What the demo prints: tables for a person, one object for `--json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from raywf.config import command_name
from raywf.demo.learning import ENOUGH, Answers, Learned
from raywf.demo.score import Scores, Share


@dataclass(frozen=True, slots=True)
class Run:
    """The facts of one run that are not about quality; `first_s` is the first ticket, which loads the models."""

    id: str
    store: str
    namespace: str
    output: Path
    first_s: float
    rest_s: float
    tickets: int
    failed: tuple[str, ...]
    an_execution: str
    interactive: bool = False

    @property
    def per_second(self) -> float | None:
        """Executions per second after the first ticket; None where a person was part of the time."""
        if self.interactive or self.tickets < 2 or self.rest_s <= 0:
            return None
        return (self.tickets - 1) / self.rest_s

    def next_commands(self, learned: Learned | None = None) -> list[str]:
        """What to type next; a namespace is shown only where it is not the default one."""
        raywf = command_name()
        where = f" --store {self.store}" + ("" if self.namespace == "default" else f" --namespace {self.namespace}")
        return [
            f"{raywf} ls{where}",
            f"{raywf} show {self.an_execution}{where}",
            *([f"{raywf} results sources {learned.name}{where}"] if learned else []),
            f"{raywf} graph raywf.demo.triage:triage",
        ]


def as_json(run: Run, scores: Scores, learned: Learned | None = None) -> dict[str, Any]:
    """The same facts for machines; shares are null where there was no truth to compare with."""
    best = scores.best_source
    return {
        "run": run.id,
        "store": run.store,
        "namespace": run.namespace,
        "output": str(run.output),
        "tickets": run.tickets,
        "failed": list(run.failed),
        "first_ticket_s": round(run.first_s, 3),
        "rest_s": round(run.rest_s, 3),
        "executions_per_s": None if run.per_second is None else round(run.per_second, 1),
        "asked": scores.asked,
        "asked_where_merged_was_wrong": scores.asked_wrong,
        "accuracy": {
            "sources": {name: share.rate for name, share in scores.sources.items()},
            "best_source": best[0] if best else None,
            "merged": scores.merged.rate,
            "after_approval": scores.final.rate,
            "topic": scores.topic.rate,
            "topic_commonest_alone": scores.topic_baseline.rate,
            "urgency": scores.urgency.rate,
            "urgency_commonest_alone": scores.urgency_baseline.rate,
        },
        "calibration_error": scores.calibration_error,
        "bins": [
            {
                "from": one.low,
                "to": one.high,
                "tickets": one.share.of,
                "confidence": one.confidence,
                "accuracy": one.share.rate,
            }
            for one in scores.bins
        ],
        "aggregator": None if learned is None else learned_json(learned),
        "next": run.next_commands(learned),
    }


def show(console: Console, run: Run, scores: Scores, learned: Learned | None = None) -> None:
    """Prints the report."""
    if scores.merged.of:
        console.print(language_table(scores))
        console.print(_verdict(scores))
        console.print(reliability_table(scores))
    else:
        console.print("No truth in the input, so no accuracy: the identifiers are compared with each other only.")
        console.print(f"All four say the same on {percent(scores.all_agree)} of the tickets.")
    for name, share, baseline in (
        ("Topic", scores.topic, scores.topic_baseline),
        ("Urgency", scores.urgency, scores.urgency_baseline),
    ):
        if share.of:
            console.print(
                f"{name} by keyword rules: {percent(share)} right (the commonest alone: {percent(baseline)})."
            )
    if learned is not None:
        show_learned(console, learned)
    console.print(_asked(scores))
    console.print(_speed(run))
    if run.failed:
        console.print(
            f"{len(run.failed)} failed; the first: {command_name()} show {run.failed[0]} --store {run.store}",
            soft_wrap=True,
        )
    console.print(f"Rows: {run.output}   Store: {run.store}   Run: {run.id}", soft_wrap=True, highlight=False)
    console.print("Next:", *run.next_commands(learned), sep="\n  ", soft_wrap=True, highlight=False)


def language_table(scores: Scores) -> Table:
    """Accuracy of each identifier and of the merged answer, over all tickets and by kind."""
    table = Table(title=f"Language of {scores.merged.of} tickets: share that is right")
    table.add_column("source")
    table.add_column("all", justify="right")
    for kind, shares in scores.by_kind.items():
        table.add_column(f"{kind} ({shares['merged'].of})", justify="right")
    for name, share in scores.sources.items():
        table.add_row(name, percent(share), *(percent(shares[name]) for shares in scores.by_kind.values()))
    table.add_section()
    merged = [percent(shares["merged"]) for shares in scores.by_kind.values()]
    table.add_row("merged (log pool)", percent(scores.merged), *merged, style="bold")
    return table


def reliability_table(scores: Scores) -> Table:
    """What the merged confidence claims against how often it is right."""
    table = Table(title="Does the merged confidence keep its word?")
    for name in ("confidence", "tickets", "claims", "is right"):
        table.add_column(name, justify="right")
    for one in scores.bins:
        table.add_row(f"{one.low:g} - {one.high:g}", str(one.share.of), f"{one.confidence:.1%}", percent(one.share))
    if scores.calibration_error is not None:
        table.caption = f"mean distance {scores.calibration_error:.3f}; not calibrated: no gold answer was used"
    return table


_TOLD = 3
"""Findings that are shown; the rest is one command away."""


def show_learned(console: Console, learned: Learned) -> None:
    """What the aggregator made of the truths it was told."""
    heard = f"An aggregator heard what the identifiers said of all {learned.heard} tickets"
    if learned.gold == 0:
        console.print(f"{heard}; there was no truth to tell it, so it goes by agreement.")
    else:
        table = Table(title=f"An aggregator that is told {learned.gold} truths, on the other {_rest(learned)} tickets")
        for name in ("asked", "strategy", "is right", "claims"):
            table.add_column(name, justify="left" if name in ("asked", "strategy") else "right")
        for when, answers in (("before it was told", learned.before), ("after", learned.after)):
            if answers is not None:
                claims = f"{answers.claims:.1%}" + ("" if answers.calibrated else ", not calibrated")
                table.add_row(when, answers.strategy, percent(answers.share), claims)
        if learned.best is not None:
            table.add_section()
            table.add_row(f"{learned.best[0]} alone", "best on these", percent(learned.best[1]), "")
        if learned.gold < ENOUGH:
            table.caption = f"{learned.gold} truths are fewer than the {ENOUGH} that it learns weights from"
        console.print(table)
    trust = sorted(learned.trust.items(), key=lambda entry: (-entry[1], entry[0]))
    console.print("It trusts " + ", ".join(f"{source} {mean:.3f}" for source, mean in trust) + ".")
    for text in learned.insights[:_TOLD]:
        console.print(f"- {text}", markup=False)


def _rest(learned: Learned) -> int:
    return 0 if learned.after is None else learned.after.share.of


def learned_json(learned: Learned) -> dict[str, Any]:
    def answers(found: Answers | None) -> dict[str, Any] | None:
        if found is None:
            return None
        return {
            "accuracy": found.share.rate,
            "tickets": found.share.of,
            "claims": found.claims,
            "calibrated": found.calibrated,
            "strategy": found.strategy,
        }

    return {
        "name": learned.name,
        "heard": learned.heard,
        "gold": learned.gold,
        "before": answers(learned.before),
        "after": answers(learned.after),
        "best_source": None if learned.best is None else learned.best[0],
        "best_source_accuracy": None if learned.best is None else learned.best[1].rate,
        "trust": learned.trust,
        "insights": list(learned.insights),
    }


def percent(share: Share) -> str:
    """ "93.1%", or a dash where nothing could be compared."""
    return "-" if share.rate is None else f"{share.rate:.1%}"


def _verdict(scores: Scores) -> str:
    best = scores.best_source
    if best is None:
        return "No identifier answered."
    name, share = best
    difference = scores.merged.right - share.right
    if difference > 0:
        return f"Merging beats the best single identifier ({name}) by {difference} of {share.of} tickets."
    if difference == 0:
        return f"Merging does as well as the best single identifier ({name}), without knowing which one that is."
    return (
        f"Here the best single identifier ({name}) beats merging by {-difference} of {share.of} tickets; "
        "without gold answers nothing tells beforehand which one it is."
    )


def _asked(scores: Scores) -> str:
    text = f"A person was asked about {scores.asked} tickets"
    if not scores.merged.of:
        return text + "."
    wrong = scores.merged.of - scores.merged.right
    return text + f"; among them were {scores.asked_wrong} of the {wrong} that merging had wrong."


def _speed(run: Run) -> str:
    text = f"{run.tickets} executions; the first, which loads the models, took {run.first_s:.1f} s"
    if run.per_second is None:
        return text + "."
    return text + f", the others {run.rest_s:.1f} s: {run.per_second:,.0f} a second."
