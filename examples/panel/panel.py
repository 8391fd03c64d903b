"""A panel of simulated experts: what copies and one dominant source do to a vote, and what trust learned from gold undoes.

    python examples/panel/panel.py

Seven experts choose one of four answers. `ace` is right most often; `fair-1` to `fair-3` share a blind spot (their errors are
correlated); `poor` is wrong more often than not and has two copies. 200 of 3,000 items have a known answer. No Ray is needed:
`engine.aggregator("panel")` does the same for a whole cluster, and keeps what it learned. It prints the figures of README.md.
"""

import math
import random
import sys
from collections.abc import Callable

from raywf.aggregation import Candidate, ResultAggregator
from raywf.aggregation.analytics import cheapest_panel
from raywf.aggregation.evidence import Dossier, Said, Standing, Truth
from raywf.aggregation.insights import insights

PRICES = {"ace": 8.0, "fair-1": 1.0, "fair-2": 1.0, "fair-3": 1.0, "poor": 0.5, "poor-copy-1": 0.5, "poor-copy-2": 0.5}
GOLD, ITEMS, ANSWERS = 200, 3000, "pqrs"


def ask(chance: random.Random, truth: str) -> dict[str, str]:
    """What each expert says when `truth` is right."""

    def wrong() -> str:
        return chance.choice([answer for answer in ANSWERS if answer != truth])

    said = {"ace": truth if chance.random() < 0.86 else wrong()}
    blind, common = chance.random() < 0.25, wrong()
    for name in ("fair-1", "fair-2", "fair-3"):
        said[name] = common if blind and chance.random() < 0.7 else truth if chance.random() < 0.8 else wrong()
    said["poor"] = truth if chance.random() < 0.35 else wrong()
    return said | {"poor-copy-1": said["poor"], "poor-copy-2": said["poor"]}


def vote(said: dict[str, str], weight: Callable[[str], float]) -> str:
    candidates = [Candidate(answer, name, weight=weight(name)) for name, answer in said.items()]
    return str(ResultAggregator("majority").merge(candidates).value)


def early(said: dict[str, str], order: list[str], weight: Callable[[str], float]) -> tuple[str, float]:
    """Ask in this order until those who are left cannot overturn the leader; the answer, and what asking cost."""
    asked: dict[str, str] = {}
    for at, name in enumerate(order):
        asked[name] = said[name]
        sums = sorted((sum(weight(n) for n in asked if asked[n] == answer) for answer in ANSWERS), reverse=True)
        if sums[0] - sums[1] > sum(map(weight, order[at + 1 :])):
            break
    return vote(asked, weight), sum(PRICES[each] for each in asked)


def main() -> int:
    chance = random.Random(11)
    truths = [chance.choice(ANSWERS) for _ in range(ITEMS)]
    answers = [ask(chance, truth) for truth in truths]
    standing, gold = Standing(), {}
    for n, said in enumerate(answers):
        facts = {name: Said(answer, None, None, 1.0, float(n)) for name, answer in said.items()}
        dossier = Dossier(facts, Truth(truths[n], float(n)) if n < GOLD else None)
        standing.exchange(None, dossier)
        if n < GOLD:
            gold[f"item-{n}"] = dossier

    trust = standing.trust()
    # Log-odds beside guessing, so that one good source outweighs several poor ones that agree; copies share one vote.
    odds = {name: each.mean * (len(ANSWERS) - 1) / (1 - each.mean) for name, each in trust.items()}
    weights = {name: max(math.log(odds[name]), 0.01) / each.copies for name, each in trust.items()}
    rest = range(GOLD, ITEMS)

    def score(right: Callable[[int], bool]) -> str:
        return f"{sum(map(right, rest)) / len(rest):.1%}"

    print(f"ace alone               {score(lambda n: answers[n]['ace'] == truths[n])}")
    print(f"a vote of all seven     {score(lambda n: vote(answers[n], lambda name: 1.0) == truths[n])}")
    print(f"weighted by trust       {score(lambda n: vote(answers[n], weights.__getitem__) == truths[n])}")

    order = sorted(PRICES, key=lambda name: (-weights[name], name))
    stopped = [early(answers[n], order, weights.__getitem__) for n in range(ITEMS)]
    spent = sum(stopped[n][1] for n in rest) / (len(rest) * sum(PRICES.values()))
    print(f"the same, stopped early {score(lambda n: stopped[n][0] == truths[n])} for {spent:.0%} of the price")
    panel = cheapest_panel(gold, PRICES, 0.65)
    print(f"cheapest for 65 %       {' + '.join(panel.sources) if panel else 'none'}")
    print()
    for each in insights(standing):
        print(f"- {each.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
