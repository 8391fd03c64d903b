"""Triage of support tickets: the workflow that `raywf demo` runs, written as any user would write it.

    text ─┬─ identify_py3langid ──┐                      ┌─ confident ───────────┐
          ├─ identify_lingua ─────┤                      │                       ├─ classify_topic ───┐
          ├─ identify_langdetect ─┼─── merge_language ───┤                       │                    ├─ record
          └─ identify_pycld2 ─────┘                      └─ approval by a person ┴─ classify_urgency ─┘

Try it: `raywf graph raywf.demo.triage:triage`.
"""

from typing import Any

from raywf import Candidate, ResultAggregator, approval, task, when, workflow
from raywf.demo import identifiers, rules

ACCEPT_AT = 0.7
"""Below this confidence a person is asked. Not tuned on the demo's tickets; it is the aggregator's default."""

UNKNOWN = {"language": None, "confidence": 0.0}
"""What stands for the language when the person says no, or says nothing for an hour."""


@task
def identify_py3langid(text: str) -> dict[str, float]:
    return identifiers.py3langid(text)


@task
def identify_lingua(text: str) -> dict[str, float]:
    return identifiers.lingua(text)


@task
def identify_langdetect(text: str) -> dict[str, float]:
    return identifiers.langdetect(text)


@task
def identify_pycld2(text: str) -> dict[str, float]:
    return identifiers.pycld2(text)


@task
def merge_language(votes: dict[str, dict[str, float]]) -> dict[str, Any]:
    """One language from the distributions of the four; a source with an empty one abstains."""
    result = ResultAggregator(strategy="log_pool", accept_at=ACCEPT_AT).merge(
        Candidate(value=max(probs, key=probs.__getitem__), source=source, probs=probs)
        if probs
        else Candidate(value=None, source=source)
        for source, probs in votes.items()
    )
    return {
        "language": result.value,
        "confidence": result.confidence,
        "agreement": result.agreement,
        "quality": result.quality,
        "decision": result.decision,
        "candidates": dict(result.probs[:3]),
        "votes": {part.source: part.value for part in result.provenance},
        "said": {source: _likeliest(probs) for source, probs in votes.items()},
    }


def _likeliest(probs: dict[str, float]) -> dict[str, float]:
    return {label: probs[label] for label in sorted(probs, key=probs.__getitem__, reverse=True)[:3]}


@task
def classify_topic(text: str, language: str | None) -> str:
    return rules.topic(text, language)


@task
def classify_urgency(text: str, language: str | None) -> str:
    return rules.urgency(text, language)


@task
def record(text: str, merged: dict[str, Any], checked: dict[str, Any], topic: str, urgency: str) -> dict[str, Any]:
    """One row of the result: `merged_language` is what the sources say, `language` what stands after the person."""
    return {
        "text": text,
        "language": checked["language"],
        "merged_language": merged["language"],
        "confidence": merged["confidence"],
        "agreement": merged["agreement"],
        "quality": merged["quality"],
        "asked": merged["confidence"] < ACCEPT_AT,
        "topic": topic,
        "urgency": urgency,
        "votes": merged["votes"],
        "said": merged["said"],
    }


@workflow(version="1")
def triage(text: str) -> Any:
    """Language, topic and urgency of one ticket; a person is asked where the identifiers are not sure together."""
    merged = merge_language(
        {
            "py3langid": identify_py3langid(text),
            "lingua": identify_lingua(text),
            "langdetect": identify_langdetect(text),
            "pycld2": identify_pycld2(text),
        }
    )
    checked = when(
        merged["confidence"] < ACCEPT_AT,
        then=lambda: approval(
            f"Is the language of this ticket {merged['language']}? {text}",
            data=merged,
            timeout=3600,
            on_reject=UNKNOWN,
            on_timeout=UNKNOWN,
        ),
        otherwise=lambda: merged,
    )
    topic = classify_topic(text, checked["language"])
    urgency = classify_urgency(text, checked["language"])
    return record(text, merged, checked, topic, urgency)
