"""Which language is each ticket in? Four identifiers vote, and a person decides where they are not sure together.

pip install "raywf[demo]"
python triage.py tickets.txt           # a ticket per line

An aggregator of the store learns from what people decide how far to trust each identifier; the next run votes by that.
"""

import sys
from pathlib import Path

import raywf
from raywf import task, workflow
from raywf.demo import identifiers

ACCEPT_AT = 0.7


def vote(source: str, probs: dict[str, float], trust: dict[str, float]) -> raywf.Candidate:
    likeliest = max(probs, key=probs.get, default=None)  # {} abstains
    return raywf.Candidate(likeliest, source, probs=probs or None, weight=trust.get(source, 1.0))


@task
def py3langid(text: str, trust: dict[str, float]) -> raywf.Candidate:
    return vote("py3langid", identifiers.py3langid(text), trust)


@task
def lingua(text: str, trust: dict[str, float]) -> raywf.Candidate:
    return vote("lingua", identifiers.lingua(text), trust)


@task
def langdetect(text: str, trust: dict[str, float]) -> raywf.Candidate:
    return vote("langdetect", identifiers.langdetect(text), trust)


@task
def pycld2(text: str, trust: dict[str, float]) -> raywf.Candidate:
    return vote("pycld2", identifiers.pycld2(text), trust)


@task
def record(text: str, language: str | None, merged: raywf.AggregateResult) -> dict:
    said = {each.source: each.value for each in merged.provenance}
    asked = merged.decision != "accepted"
    return {"text": text, "language": language, "confidence": merged.confidence, "asked": asked, "said": said}


@workflow(version="3")
def triage(text: str, trust: dict[str, float]):
    """`trust` is an input, so an execution votes by what was known when it was submitted, and a crash changes nothing of it."""
    asked = [py3langid(text, trust), lingua(text, trust), langdetect(text, trust), pycld2(text, trust)]
    merged = raywf.aggregate(asked, strategy="log_pool", accept_at=ACCEPT_AT, at_least=2)
    language = raywf.when(
        merged.decision == "accepted",
        then=lambda: merged.value,
        otherwise=lambda: raywf.approval(
            f"Is this {merged.value}? {text}", data=merged.value, timeout=60, on_reject="unknown", on_timeout="unknown"
        ),
    )
    return record(text, language, merged)


def main(tickets: list[str]) -> None:
    with raywf.connect() as engine:
        panel = engine.aggregator("triage", strategy="majority")
        trust = {source: known.weight for source, known in panel.state().trust.items()}
        for row in engine.map(triage, [{"text": ticket, "trust": trust} for ticket in tickets]):
            print(f"{row['language'] or '-':8} {row['confidence']:.2f}  {row['text']}")
            item = row["text"][:500]  # told again in the next run, a ticket counts once
            panel.merge([raywf.Candidate(said, source) for source, said in row["said"].items()], item=item)
            if row["asked"] and row["language"] != "unknown":
                panel.feedback(item, row["language"])
        for source, known in panel.state().trust.items():
            print(f"{source:12} trusted {known.mean:.2f}, at least {known.low:.2f}, by {known.gold} answers of people")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python triage.py TICKETS.txt")
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    main([line.strip() for line in lines if line.strip()])
