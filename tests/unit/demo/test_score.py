"""Accuracy is counted where there is a truth, and nowhere else."""

from typing import Any

import pytest

from raywf.demo.inputs import Ticket
from raywf.demo.score import Share, score


def row(
    language: str | None, confidence: float = 0.95, *, final: str | None = "same", **votes: str | None
) -> dict[str, Any]:
    return {
        "language": language if final == "same" else final,
        "merged_language": language,
        "confidence": confidence,
        "agreement": 1.0,
        "quality": 1.0,
        "asked": confidence < 0.7,
        "topic": "bug",
        "urgency": "normal",
        "votes": votes or {"one": language},
    }


def test_sources_merged_and_final_are_counted_apart() -> None:
    tickets = [Ticket("1", "a", "da", "bug", "high", "plain"), Ticket("2", "b", "no", "login", "normal", "short")]
    rows = [row("da", one="da", two=None), row("da", 0.4, final=None, one="da", two="no")]
    scores = score(tickets, rows)
    assert scores.sources == {"one": Share(1, 2), "two": Share(1, 2)}
    assert (scores.merged, scores.final) == (Share(1, 2), Share(1, 2))
    assert (scores.asked, scores.asked_wrong) == (1, 1)
    assert (scores.topic, scores.urgency) == (Share(1, 2), Share(1, 2))
    assert scores.by_kind["short"] == {"one": Share(0, 1), "two": Share(1, 1), "merged": Share(0, 1)}
    assert scores.all_agree == Share(0, 2)


def test_without_truth_nothing_is_made_up() -> None:
    scores = score([Ticket("1", "a"), Ticket("2", "b")], [row("da"), row("no", one="no", two="da")])
    assert scores.merged == Share(0, 0)
    assert scores.merged.rate is None
    assert scores.best_source is None
    assert scores.bins == ()
    assert scores.calibration_error is None
    assert scores.all_agree == Share(1, 2)


def test_failed_tickets_are_not_counted() -> None:
    assert score([Ticket("1", "a", "da"), Ticket("2", "b", "da")], [None, row("da")]).merged == Share(1, 1)


def test_every_confidence_has_a_bin() -> None:
    confidences = [0.0, 0.5, 0.7, 0.89, 0.9, 0.99, 1.0]
    tickets = [Ticket(str(i), "a", "da") for i in range(len(confidences))]
    bins = score(tickets, [row("da", value) for value in confidences]).bins
    assert sum(one.share.of for one in bins) == len(confidences)
    assert [(one.low, one.share.of) for one in bins] == [(0.0, 1), (0.5, 1), (0.7, 2), (0.9, 1), (0.99, 2)]


def test_calibration_error_is_the_mean_distance() -> None:
    tickets = [Ticket("1", "a", "da"), Ticket("2", "b", "da")]
    assert score(tickets, [row("da", 0.8), row("no", 0.8)]).calibration_error == pytest.approx(0.3)
