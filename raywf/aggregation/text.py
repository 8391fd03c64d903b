"""Free text: find the answer in it, vote, and hand back the words of whoever said it best.

Voting on the extracted answers is right far more often than any measure of likeness between whole texts: two texts may
share nearly every word and differ in the one that matters. Likeness decides only where no answer can be found.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from raywf.aggregation.candidates import Candidate
from raywf.aggregation.result import AggregateResult, Contribution
from raywf.errors import InvalidInput

Extractor: TypeAlias = Callable[[str], str | None]

LONGEST = 20_000
"""Characters of a text that are read, from its end: that is where answers are, and a text of 5 MB must not stop us."""
COMPARED_UP_TO = 64
"""Texts that are compared with each other; the pairs grow as the square."""

_PATTERNS = [
    re.compile(r"\\boxed\{([^{}]{1,200})\}"),
    re.compile(
        r"\b(?:answer|solution|result)\b\s*(?:is|:|=)+\s*[*_(\[\"']*(?!let['’]?s\b)(?=([^\n.;*_\"')\]]{1,200}))",
        re.IGNORECASE,
    ),  # what follows is looked at and not consumed: "Answer: the answer is B" states B
    re.compile(r"^####\s*(.{1,200})$", re.MULTILINE),
]
_NEXT_QUESTION = re.compile(r"^\s*(?:Question|Q)\s*:", re.MULTILINE)
_LETTER = re.compile(r"^\(?([A-Za-z])\b(?!')(?:[).:]|\s|$)")


def extract_answer(text: str) -> str | None:
    r"""The last answer that `text` states, in the forms "the answer is …", "Answer: …", "\boxed{…}" and "#### …".

    A single option letter is given alone and upper case. None where nothing of that kind is found.
    """
    tail = _own(text[-LONGEST:])
    found = [(match.start(), match.group(1)) for pattern in _PATTERNS for match in pattern.finditer(tail)]
    for _, stated in sorted(found, reverse=True):
        answer = stated.strip().strip("*_`$\"' ").rstrip(".")
        if letter := _LETTER.match(answer):
            return letter.group(1).upper()
        if any(
            character.isalnum() for character in answer
        ):  # a text that breaks off at "the answer is (" stated one before
            return " ".join(answer.casefold().split())
    return None


def _own(text: str) -> str:
    """`text` up to where a model that does not stop begins to ask itself the next question."""
    found = _NEXT_QUESTION.search(text)
    return (
        text[: found.start()] if found and any(pattern.search(text[: found.start()]) for pattern in _PATTERNS) else text
    )


def parsed(candidates: Sequence[Candidate], extract: Extractor = extract_answer) -> list[Candidate]:
    """The candidates with the answer in place of the text; whoever states none abstains."""
    found = []
    for candidate in candidates:
        if candidate.value is not None and not isinstance(candidate.value, str):
            raise InvalidInput(
                f'source {candidate.source!r} says {candidate.value!r:.80}, which is no text; the strategy "text" reads '
                "texts only"
            )
        answer = None if candidate.value is None else extract(candidate.value)
        found.append(Candidate(answer, candidate.source, candidate.confidence, None, candidate.weight))
    return found


def likeness(one: str, other: str) -> float:
    """Jaccard similarity of the words, 0 to 1; of two empty texts 1."""
    a, b = set(one[-LONGEST:].casefold().split()), set(other[-LONGEST:].casefold().split())
    return len(a & b) / len(a | b) if a or b else 1.0


def central(candidates: Sequence[Candidate]) -> tuple[Candidate, float]:
    """Minimum Bayes risk (Kumar and Byrne 2004): the text most like the others by weight, and how like it is.

    Of more than 64 texts the heaviest 64 (then by source) are compared. Ties go to the heavier, then to the first name.
    """
    stand = sorted((c for c in candidates if c.value is not None and c.weight > 0), key=lambda c: (-c.weight, c.source))
    if not stand:
        raise InvalidInput("no source gave a text, so none is the most central; check for abstentions first")
    stand = stand[:COMPARED_UP_TO]
    best, best_score = stand[0], -1.0
    for one in stand:
        others = [other for other in stand if other is not one]
        total = math.fsum(other.weight for other in others)
        score = math.fsum(o.weight * likeness(str(one.value), str(o.value)) for o in others) / total if others else 0.0
        if score > best_score + 1e-12:
            best, best_score = one, score
    return best, best_score


def merge_text(
    candidates: Sequence[Candidate], vote: Callable[[Sequence[Candidate]], AggregateResult]
) -> AggregateResult:
    """`vote` on the extracted answers; the value is the whole text of the heaviest source that gave the winning one.

    `probs`, `conflicts` and `provenance` speak of answers. Where no text states an answer the most central text stands,
    with its likeness to the others, times n/(n + 1), for a confidence.
    """
    answers = parsed(candidates)
    result = vote(answers)
    if result.value is not None:
        said = {candidate.source: candidate for candidate in candidates}
        winners = [part.source for part in result.provenance if part.agrees]
        heaviest = min(winners, key=lambda source: (-said[source].weight, -(said[source].confidence or 0.0), source))
        return replace(result, value=said[heaviest].value, strategy="text")
    stand = [candidate for candidate in candidates if candidate.value is not None and candidate.weight > 0]
    if not stand:
        return replace(result, strategy="text")
    why = "no text states an answer: the one most like the others was taken, which is weak evidence"
    return _central_result(candidates, result, "text", why)


def merge_central(
    candidates: Sequence[Candidate], vote: Callable[[Sequence[Candidate]], AggregateResult]
) -> AggregateResult:
    """The most central of the texts, whatever answers they state (strategy "mbr"); `vote` says who was counted."""
    parsed(candidates, lambda text: None)  # refuses what is no text
    return _central_result(
        candidates, replace(vote(candidates), probs=(), conflicts=()), "mbr", "the text most like the others"
    )


def _central_result(
    candidates: Sequence[Candidate], result: AggregateResult, strategy: str, why: str
) -> AggregateResult:
    stand = [candidate for candidate in candidates if candidate.value is not None and candidate.weight > 0]
    chosen, like = central(stand)
    if len(stand) == 1:  # unlike nothing; and one voice, which is as much as a lone number is worth
        like, why = 1.0, "one text, and no other to compare it with"
    total = math.fsum(candidate.weight for candidate in stand)
    agrees = {candidate.source: candidate.value == chosen.value for candidate in stand}
    shares = {candidate.source: candidate.weight / total for candidate in stand}
    return replace(
        result,
        value=chosen.value,
        confidence=like * len(stand) / (len(stand) + 1),
        agreement=min(math.fsum(shares[source] for source, same in agrees.items() if same), 1.0),
        quality=like * len(stand) / len(candidates),
        provenance=tuple(
            Contribution(c.source, c.value, c.confidence, shares.get(c.source, 0.0), agrees.get(c.source))
            for c in sorted(candidates, key=lambda c: c.source)
        ),
        decision="escalated",
        strategy=strategy,
        why=why,
    )
