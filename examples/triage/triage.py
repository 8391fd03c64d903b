"""Which language is each ticket in? Four identifiers vote, and a person decides where they are not sure together.

pip install "raywf[demo]"
python triage.py tickets.txt           # a ticket per line
"""

import sys
from pathlib import Path

import raywf
from raywf import task, workflow
from raywf.demo import identifiers

ACCEPT_AT = 0.7


def vote(source: str, probs: dict[str, float]) -> raywf.Candidate:
    return raywf.Candidate(max(probs, key=probs.get, default=None), source, probs=probs or None)  # {} abstains


@task
def py3langid(text: str) -> raywf.Candidate:
    return vote("py3langid", identifiers.py3langid(text))


@task
def lingua(text: str) -> raywf.Candidate:
    return vote("lingua", identifiers.lingua(text))


@task
def langdetect(text: str) -> raywf.Candidate:
    return vote("langdetect", identifiers.langdetect(text))


@task
def pycld2(text: str) -> raywf.Candidate:
    return vote("pycld2", identifiers.pycld2(text))


@task
def record(text: str, language: str | None, confidence: float) -> dict:
    return {"text": text, "language": language, "confidence": confidence}


@workflow(version="2")
def triage(text: str):
    asked = [py3langid(text), lingua(text), langdetect(text), pycld2(text)]
    merged = raywf.aggregate(asked, strategy="log_pool", accept_at=ACCEPT_AT, at_least=2)
    language = raywf.when(
        merged.decision == "accepted",
        then=lambda: merged.value,
        otherwise=lambda: raywf.approval(
            f"Is this {merged.value}? {text}", data=merged.value, timeout=60, on_reject="unknown", on_timeout="unknown"
        ),
    )
    return record(text, language, merged.confidence)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python triage.py TICKETS.txt")
    tickets = [line.strip() for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line.strip()]
    with raywf.connect() as engine:
        for row in engine.map(triage, tickets):
            print(f"{row['language'] or '-':8} {row['confidence']:.2f}  {row['text']}")
