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
UNKNOWN = {"language": "unknown", "confidence": 0.0}


@task
def py3langid(text: str) -> dict[str, float]:
    return identifiers.py3langid(text)


@task
def lingua(text: str) -> dict[str, float]:
    return identifiers.lingua(text)


@task
def langdetect(text: str) -> dict[str, float]:
    return identifiers.langdetect(text)


@task
def pycld2(text: str) -> dict[str, float]:
    return identifiers.pycld2(text)


@task
def merge(votes: dict[str, dict[str, float]]) -> dict:
    result = raywf.ResultAggregator(strategy="log_pool", accept_at=ACCEPT_AT).merge(
        raywf.Candidate(max(probs, key=probs.get, default=None), source, probs=probs or None)  # {} abstains
        for source, probs in votes.items()
    )
    return {"language": result.value, "confidence": result.confidence}


@task
def record(text: str, answer: dict) -> dict:
    return {"text": text, **answer}


@workflow(version="1")
def triage(text: str):
    by_name = {"py3langid": py3langid(text), "lingua": lingua(text), "langdetect": langdetect(text)}
    merged = merge({**by_name, "pycld2": pycld2(text)})
    answer = raywf.when(
        merged["confidence"] < ACCEPT_AT,
        then=lambda: raywf.approval(
            f"Is this {merged['language']}? {text}", data=merged, timeout=60, on_reject=UNKNOWN, on_timeout=UNKNOWN
        ),
        otherwise=lambda: merged,
    )
    return record(text, answer)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python triage.py TICKETS.txt")
    tickets = [line.strip() for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line.strip()]
    with raywf.connect() as engine:
        for row in engine.map(triage, tickets):
            print(f"{row['language'] or '-':8} {row['confidence']:.2f}  {row['text']}")
