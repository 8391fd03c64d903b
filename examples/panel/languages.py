"""Four real language identifiers as a panel: which to believe, what 200 known answers change, and whom one need not ask.

    pip install "raywf[demo]"
    python examples/panel/languages.py

The 436 tickets of `raywf demo` have their true language; 200 of them teach, the others count. The identifiers run here, offline
and without Ray. Prices are the time an answer takes, pycld2's being 1. It prints the figures of README.md.
"""

import random
import sys

from raywf import Candidate, ResultAggregator
from raywf.demo import identifiers
from raywf.demo.inputs import demo_tickets

PRICES = {"pycld2": 1.0, "py3langid": 14.0, "lingua": 35.0, "langdetect": 590.0}
GOLD = 200


def asked(name: str, text: str) -> Candidate:
    """What one identifier says of a text, with its whole distribution; nothing where it abstains."""
    probs = identifiers.IDENTIFIERS[name](text)
    return Candidate(max(probs, key=probs.__getitem__), name, probs=probs) if probs else Candidate(None, name)


def main() -> int:
    identifiers.require_all()
    tickets = [ticket for ticket in demo_tickets() if ticket.language]
    random.Random(3).shuffle(tickets)
    said = {ticket.id: {name: asked(name, ticket.text) for name in PRICES} for ticket in tickets}
    truth = {ticket.id: ticket.language for ticket in tickets}
    rest = [ticket.id for ticket in tickets[GOLD:]]

    def show(what: str, answers: dict[str, object]) -> None:
        print(f"{what:27} {sum(answers[item] == truth[item] for item in rest) / len(rest):.1%}")

    for name in PRICES:
        show(f"{name} alone", {item: said[item][name].value for item in rest})
    plain = ResultAggregator("majority")
    show("a vote of the four", {item: plain.merge(said[item].values()).value for item in rest})
    pooled = ResultAggregator("log_pool")
    show("their distributions pooled", {item: pooled.merge(said[item].values()).value for item in rest})

    learned = ResultAggregator()
    for ticket in tickets[:GOLD]:
        learned.feedback(said[ticket.id].values(), ticket.language, item=ticket.id)
    show("with 200 known answers", {item: learned.merge(said[item].values()).value for item in rest})

    policy = learned.early_stop(PRICES, worth=20_000.0)
    early, spent = {}, 0.0
    for item in rest:
        heard: list[Candidate] = []
        while (source := policy.next_source(heard).source) is not None:
            heard.append(said[item][source])
            spent += PRICES[source]
        early[item] = learned.merge(heard).value
    show("the same, stopped early", early)
    print(f"for {spent / len(rest) / sum(PRICES.values()):.0%} of the time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
