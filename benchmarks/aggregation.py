"""Does a merge beat its best source, and does its confidence mean what it says? On data with known truth.

    python -m benchmarks.aggregation --data DIR [--splits 20] [--seeds 20] [--only mid8,clones]      (or RAYWF_BENCH_DATA)
    python -m benchmarks.aggregation --list

DIR holds mmlu_pro_llm_votes/votes.csv (question_id, category, n_options, truth, one column per source; empty = abstains),
mmlu_pro_llm_texts/texts.jsonl (truth and, by source, pred and text) and langid/langid.csv (kind, lang, text).
A row without its data is named and skipped. Every figure is a mean over seeded splits, scored on the items whose truth
was not given. --list says what each part measures, what it needs and about how long it takes. The part `actor`
(benchmarks/aggregator_actor.py, in a process and on a Ray of its own) needs no data; `memory` runs only when it is named, or with
--all.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.figures import Line, expected_calibration_error
from benchmarks.merging_rows import beside_crowdkit, languages, texts
from benchmarks.panel_rows import random_panels
from benchmarks.report import table, write
from benchmarks.sample import module, take
from raywf import Candidate, ResultAggregator
from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.identity import identity
from raywf.aggregation.learning import Learned, learn_from, reweighted
from raywf.aggregation.stopping import EarlyStop
from raywf.aggregation.strategies import majority

PANELS = {
    "mid8": "Meta-Llama-3_1-70B-Instruct gemini-1.5-flash-002 DeepSeek-Coder-V2 Meta-Llama-3-70B Qwen1.5-110B "
    "jamba-1.5-large Qwen1.5-72B-Chat Mixtral-8x7B-Instruct-v0.1",
    "top4": "gemini-1.5-pro-002 Meta-Llama-3_1-70B-Instruct gemini-1.5-flash-002 DeepSeek-Coder-V2",
    "small7": "Meta-Llama-3-8B Mistral-7B-v0.2-hf Yi-6b-Chat gemma-7b Qwen1.5-7B-Chat Phi-3-mini-4k-instruct mathstral-7B",
}
NOT_VOTES = ("question_id", "category", "n_options", "truth")
GOLD_SIZES = (50, 100, 200)
COPIES = 8
PARTS = {
    "all30": ("all thirty models, 50, 100 and 200 gold answers", "votes", 60),
    "mid8": ("eight models of middling quality, without gold and with 50, 100, 200", "votes", 35),
    "top4": ("four of the best models", "votes", 25),
    "small7": ("seven small models, one of which towers", "votes", 25),
    "random": ("ten panels of 3 to 12 models drawn at random, --seeds splits each", "votes", 240),
    "conformal": ("sets at 0.90 on mid8, 50 splits", "votes", 20),
    "stop": ("early stop on mid8, 200 gold", "votes", 60),
    "clones": ("eight copies of the worst source beside mid8", "votes", 15),
    "crowdkit": ("Dawid-Skene beside crowd-kit's", "votes, and `python benchmarks/make_peers.py crowdkit`", 25),
    "languages": ("four language identifiers on 36 languages", "langid, and the extra raywf[demo]", 120),
    "texts": ("free text: 150 questions by 8 models", "texts", 10),
    "actor": ("one aggregator actor: rate, growth, SIGKILL", "Ray", 75),
    "memory": ("the same at --memory candidates; only where named, or with --all", "Ray", 240),
}
"""What each part measures, what it needs, and about how many seconds it takes on two cores."""


class Panel:
    """Answers of some sources to all questions, and the truth."""

    def __init__(self, rows: Sequence[dict[str, str]], sources: Sequence[str]) -> None:
        self.sources = tuple(sources)
        self.truths = [row["truth"] for row in rows]
        self.said = [[row[source] or None for source in sources] for row in rows]
        self.ballots = [self.ballot(said) for said in self.said]

    def ballot(self, said: Sequence[str | None], sources: Sequence[str] | None = None) -> Ballot:
        names = self.sources if sources is None else sources
        return collect(Candidate(value, source) for value, source in zip(said, names, strict=True))

    def split(self, gold: int, seed: int) -> tuple[list[int], list[int]]:
        order = list(range(len(self.truths)))
        random.Random(seed).shuffle(order)
        return sorted(order[:gold]), sorted(order[gold:])

    def best(self, items: Sequence[int]) -> float:
        """The accuracy of the best source on these items: an oracle's choice, which nobody has."""
        return max(sum(self.said[i][s] == self.truths[i] for i in items) / len(items) for s in range(len(self.sources)))

    def majority(self, items: Sequence[int]) -> float:
        """Ties in expectation, so that no rule for ties helps or hurts."""
        hits = []
        for i in items:
            votes: dict[str, int] = {}
            for value in self.said[i]:
                if value is not None:
                    votes[value] = votes.get(value, 0) + 1
            top = [value for value, count in votes.items() if count == max(votes.values())]
            hits.append((self.truths[i] in top) / len(top) if top else 0.0)
        return statistics.fmean(hits)

    def taught(self, gold: Sequence[int]) -> Learned:
        """All answers are known, and the truth of the gold items."""
        known = set(gold)
        return learn_from(
            self.ballots, [identity(truth) if i in known else None for i, truth in enumerate(self.truths)]
        )


def scored(panel: Panel, learned: Learned, items: Sequence[int]) -> tuple[float, float]:
    """(accuracy, ECE) on `items` of the stack; or of what `auto` does where too few of the gold items had an answer."""
    confidences, hits = [], []
    for i in items:
        if not panel.ballots[i].votes:
            confidences.append(0.0)
            hits.append(False)
            continue
        scores = _scores(learned, panel.ballots[i])
        chosen = max(scores, key=scores.__getitem__)
        confidences.append(scores[chosen])
        hits.append(chosen == identity(panel.truths[i]))
    return statistics.fmean(hits), expected_calibration_error(confidences, hits)


def _scores(learned: Learned, ballot: Ballot) -> dict[Any, float]:
    if learned.stack is not None:
        return learned.stack.scores(ballot)
    return majority(collect(reweighted(ballot.candidates, learned)))


def with_gold(name: str, panel: Panel, gold: int, splits: int) -> list[Line]:
    gains, over_majority, errors = [], [], []
    for seed in range(splits):
        given, items = panel.split(gold, seed)
        learned = panel.taught(given)
        accuracy, error = scored(panel, learned, items)
        gains.append(accuracy - panel.best(items))
        over_majority.append(accuracy - panel.majority(items))
        errors.append(error)
    gain, ece = statistics.fmean(gains), statistics.fmean(errors)
    least = {"all30": 0.008, "mid8": 0.0}.get(name, -0.005) if gold == 200 else -0.005
    lines = [Line(f"{name}, {gold} gold: over the best source", gain, f">= {least}", gain >= least)]
    if gold == 200 and name in ("all30", "mid8"):
        bar = 0.05 if name == "all30" else 0.06
        lines.append(Line(f"{name}, {gold} gold: ECE", ece, f"<= {bar}", ece <= bar))
    if gold == 200 and name == "mid8":
        more = statistics.fmean(over_majority)
        lines.append(Line(f"{name}, {gold} gold: over the majority", more, ">= 0.015", more >= 0.015))
    return lines


def conformal(panel: Panel, splits: int = 50, gold: int = 200) -> list[Line]:
    """Of sets that are to hold the truth nine times in ten."""
    covered = []
    for seed in range(splits):
        given, items = panel.split(gold, seed)
        covered.append(_covered(panel, panel.taught(given), items))
    mean, near = statistics.fmean(covered), statistics.fmean(0.87 <= c <= 0.93 for c in covered)
    return [
        Line(f"conformal sets at 0.90, {splits} splits: mean coverage", mean, "0.885-0.915", 0.885 <= mean <= 0.915),
        Line("conformal sets: splits within 0.87-0.93", near, ">= 0.7", near >= 0.7),
    ]


def _covered(panel: Panel, learned: Learned, items: Sequence[int]) -> float:
    assert learned.stack is not None
    least, hits = 1.0 - learned.threshold(0.9), []
    for i in items:
        scores = learned.stack.scores(panel.ballots[i]) if panel.ballots[i].votes else {}
        truth = identity(panel.truths[i])
        hits.append(scores.get(truth, 1.0 - sum(scores.values())) >= least)
    return statistics.fmean(hits)


def without_gold(panel: Panel) -> list[Line]:
    accuracy, ece = _merged(panel, panel.sources, panel.said)
    more = accuracy - panel.majority(range(len(panel.truths)))
    return [
        Line("mid8, no gold: over the majority", more, ">= 0.008", more >= 0.008),
        Line("mid8, no gold: ECE", ece, "<= 0.06", ece <= 0.06),
    ]


def _merged(panel: Panel, sources: Sequence[str], said: Sequence[Sequence[str | None]]) -> tuple[float, float]:
    batch = [[Candidate(v, s) for v, s in zip(row, sources, strict=True)] for row in said]
    results = ResultAggregator().merge_many(batch)
    hits = [result.value == truth for result, truth in zip(results, panel.truths, strict=True)]
    return statistics.fmean(hits), expected_calibration_error([r.confidence for r in results], hits)


def clones(panel: Panel, worst: Sequence[str | None]) -> list[Line]:
    honest, _ = _merged(panel, panel.sources, panel.said)
    labels, lines = sorted(set(panel.truths)), []
    for noise in (0.0, 0.05, 0.1):
        chance = random.Random(1)
        said = [
            [*row, *(chance.choice(labels) if chance.random() < noise else copied for _ in range(COPIES))]
            for row, copied in zip(panel.said, worst, strict=True)
        ]
        names = [*panel.sources, *(f"copy {i}" for i in range(COPIES))]
        lost = honest - _merged(panel, names, said)[0]
        lines.append(Line(f"8 copies of the worst, noise {noise:g}: loses", lost, "<= 0.01", lost <= 0.01))
    return lines


def actor(base: Path) -> list[Line]:
    """One aggregator actor with trust and journal on: counted when committed, its memory, and what it knows after a kill."""
    sample = take("aggregator-actor", 1, module("aggregator_actor"), base, timeout_s=1800)
    if sample.error:
        return [Line(f"one aggregator actor: {sample.error}", 0.0, "a run to its end", False)]
    rate, grown = sample.figures["candidates_per_s"], sample.figures["grown_mb"]
    late, same = sample.figures["last_tenth_per_s"], float(sample.figures["same"])
    return [
        Line("one aggregator actor: candidates/s, committed", rate, ">= 20,000", rate >= 20_000),
        Line("one aggregator actor: candidates/s in the last tenth", late, ">= 20,000", late >= 20_000),
        Line("one aggregator actor: MB more in all (16 are SQLite's page cache)", grown, "<= 24", grown <= 24.0),
        Line("one aggregator actor: knows the same after SIGKILL", same, "1", same == 1.0),
    ]


def memory(base: Path, sizes: Sequence[int]) -> list[Line]:
    """The actor's growth over the second half of each sample, per million candidates: flat once SQLite's page cache is full."""
    lines = []
    for size in sizes:
        command = [*module("aggregator_actor"), "--candidates", str(size)]
        sample = take("aggregator-memory", 1, command, base, timeout_s=3600)
        what = f"one aggregator actor, {size / 1e6:g} M candidates: MB per million more"
        if sample.error:
            lines.append(Line(f"{what}: {sample.error}", 0.0, "a run to its end", False))
            continue
        grown = sample.figures["memory_mb_per_million"]
        lines.append(Line(what, grown, "<= 1", grown <= 1.0))
        late = sample.figures["last_tenth_per_s"]
        lines.append(
            Line(
                f"one aggregator actor, {size / 1e6:g} M candidates: per s in the last tenth",
                late,
                ">= 20,000",
                late >= 20_000,
            )
        )
    return lines


def early_stop(panel: Panel, splits: int, gold: int = 200) -> list[Line]:
    """Every source costs the same, a right answer is worth what is worth by default; beside the whole panel's stack."""
    lost, shares = [], []
    for seed in range(splits):
        given, items = panel.split(gold, seed)
        known = set(given)
        truths = [identity(truth) if i in known else None for i, truth in enumerate(panel.truths)]
        policy = EarlyStop.from_ballots(panel.ballots, truths, dict.fromkeys(panel.sources, 1.0))
        stack = policy.learned.stack
        assert stack is not None
        calls, right, whole = 0, [], []
        for i in items:
            said = dict(zip(panel.sources, panel.said[i], strict=True))
            heard: list[Candidate] = []
            while (source := policy.next_source(heard).source) is not None:
                heard.append(Candidate(said[source], source))
            calls += len(heard)
            truth = identity(panel.truths[i])
            for ballot, hits in ((collect(heard), right), (panel.ballots[i], whole)):
                scores = stack.scores(ballot) if ballot.votes else {}
                hits.append(bool(scores) and max(scores, key=scores.__getitem__) == truth)
        lost.append(statistics.fmean(whole) - statistics.fmean(right))
        shares.append(calls / len(items) / len(panel.sources))
    share, loss = statistics.fmean(shares), statistics.fmean(lost)
    return [
        Line("early stop on mid8, 200 gold: share of the calls", share, "<= 0.55", share <= 0.55),
        Line("early stop on mid8, 200 gold: accuracy lost", loss, "<= 0.003", loss <= 0.003),
    ]


def show_parts() -> None:
    rows = [[name, f"{seconds} s", what, needs] for name, (what, needs, seconds) in PARTS.items()]
    print(table(["part", "about", "measures", "needs"], rows, frozenset({1})))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RAYWF_BENCH_DATA"))
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=20, help="splits of each random panel")
    parser.add_argument("--only", default="", help="parts: " + ", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="the part memory as well")
    parser.add_argument("--list", action="store_true", help="what each part measures, needs and takes; runs nothing")
    parser.add_argument("--memory", default="5000000", help="candidates of each sample of the part memory")
    parser.add_argument("--texts", type=int, default=6_480, help="texts of the part languages")
    parser.add_argument("--out", type=Path, default=Path(".bench/aggregation.json"))
    given = parser.parse_args()
    if given.list:
        show_parts()
        return 0
    wanted = set(filter(None, given.only.split(",")))
    if unknown := sorted(wanted.difference(PARTS)):
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    rows = _votes(Path(given.data or "."))
    parts = _parts(rows, given) if rows else []
    parts += _others(Path(given.data or "."), given)
    lines: list[Line] = []
    took: dict[str, float] = {}
    for name, part in parts:
        if wanted and name not in wanted:
            continue
        start = time.perf_counter()
        lines += part()
        took[name] = took.get(name, 0.0) + time.perf_counter() - start
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    shown = [
        [
            line.what,
            f"{line.measured:,.0f}" if line.measured >= 1000 else f"{line.measured:.4f}",
            line.bar,
            "met" if line.met else "NOT MET",
        ]
        for line in lines
    ]
    print(table(["figure", "measured", "bar", "verdict"], shown, frozenset({1})))
    document = {"splits": given.splits, "seeds": given.seeds, "items": len(rows), "took_s": took, "lines": [
        {"what": line.what, "measured": line.measured, "bar": line.bar, "met": line.met} for line in lines
    ]}  # fmt: skip
    write(given.out, document)
    return 0


def _there(file: Path, parts: str) -> bool:
    if not file.exists():
        print(f"skipped, no data: {parts} {file}; give its directory with --data or RAYWF_BENCH_DATA")
    return file.exists()


def _votes(data: Path) -> list[dict[str, str]]:
    source = data / "mmlu_pro_llm_votes" / "votes.csv"
    if not _there(source, "the panels of models need"):
        return []
    with source.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _others(data: Path, given: argparse.Namespace) -> list[tuple[str, Callable[[], list[Line]]]]:
    found: list[tuple[str, Callable[[], list[Line]]]] = []
    spoken, written = data / "langid" / "langid.csv", data / "mmlu_pro_llm_texts" / "texts.jsonl"
    if _there(spoken, "the part languages needs"):
        found.append(("languages", lambda: languages(spoken, given.splits, given.texts)))
    if _there(written, "the part texts needs"):
        found.append(("texts", lambda: texts(written)))
    found.append(("actor", lambda: actor(given.out.parent)))
    if given.all or "memory" in given.only.split(","):
        found.append(("memory", lambda: memory(given.out.parent, [int(size) for size in given.memory.split(",")])))
    return found


def _random(rows: Sequence[dict[str, str]], everybody: Sequence[str], seeds: int) -> list[Line]:
    panels: dict[tuple[str, ...], Panel] = {}

    def gain(sources: Sequence[str], gold: int, seed: int) -> float:
        panel = panels.setdefault(tuple(sources), Panel(rows, sources))
        given, items = panel.split(gold, seed)
        return scored(panel, panel.taught(given), items)[0] - panel.best(items)

    return random_panels(everybody, gain, GOLD_SIZES, seeds)


def _parts(rows: Sequence[dict[str, str]], asked: argparse.Namespace) -> list[tuple[str, Callable[[], list[Line]]]]:
    everybody = [name for name in rows[0] if name not in NOT_VOTES]
    splits, base = asked.splits, asked.out.parent

    def accuracy(name: str) -> float:
        return sum(row[name] == row["truth"] for row in rows) / len(rows)

    panels = {"all30": list(everybody), **{name: members.split() for name, members in PANELS.items()}}
    found: list[tuple[str, Callable[[], list[Line]]]] = [
        ("random", lambda: _random(rows, everybody, asked.seeds)),
    ]
    for name, members in panels.items():
        if missing := sorted(set(members) - set(everybody)):
            print(f"skipped, no data: {name} needs {', '.join(missing)}")
            continue
        panel = Panel(rows, [n for n in everybody if n in members])
        found.append((name, lambda name=name, panel=panel: _golds(name, panel, splits)))  # type: ignore[misc]
        if name == "all30":
            found.append(("crowdkit", lambda panel=panel: beside_crowdkit(panel.ballots, base / "crowdkit")))  # type: ignore[misc]
        if name == "mid8":
            worst = min(everybody, key=accuracy)
            copied = [row[worst] or None for row in rows]
            found.append((name, lambda panel=panel: without_gold(panel)))  # type: ignore[misc]
            found.append(("conformal", lambda panel=panel: conformal(panel)))  # type: ignore[misc]
            found.append(("stop", lambda panel=panel: early_stop(panel, splits)))  # type: ignore[misc]
            found.append(("clones", lambda panel=panel, copied=copied: clones(panel, copied)))  # type: ignore[misc]
    return found


def _golds(name: str, panel: Panel, splits: int) -> list[Any]:
    return [line for gold in GOLD_SIZES for line in with_gold(name, panel, gold, splits)]


if __name__ == "__main__":
    sys.exit(main())
