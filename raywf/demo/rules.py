"""Topic and urgency by keywords: short lists for each language, no training, no claim to be clever.

A stem counts where it occurs anywhere in the text, so that compounds and endings are found; the price is a false hit
now and then. The lists were written before the demo's tickets, so the accuracy that the demo prints is what such rules
are worth: about what a first keyword filter in a real inbox is worth.
"""

import json
from functools import cache
from importlib.resources import files

TOPICS = ("refund", "bug", "delivery", "login", "billing", "feature", "other")
"""In the order in which ties are decided: who asks for money back often names the parcel and the card as well."""

URGENCIES = ("low", "normal", "high")

FALLBACK = "en"
"""For languages without lists of their own: tickets in any language tend to carry a few English words."""


def topic(text: str, language: str | None) -> str:
    """The topic with the most stems in `text`, "other" where there is none."""
    counts = {name: _hits(text, language, name) for name in TOPICS if name != "other"}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "other"


def urgency(text: str, language: str | None) -> str:
    """ "high" where a stem says so, else "low" where one says so, else "normal"."""
    for name in ("high", "low"):
        if _hits(text, language, name):
            return name
    return "normal"


def _hits(text: str, language: str | None, name: str) -> int:
    stems = _keywords().get(language or FALLBACK) or _keywords()[FALLBACK]
    folded = text.casefold()
    return sum(stem in folded for stem in stems[name])


@cache
def _keywords() -> dict[str, dict[str, list[str]]]:
    lists: dict[str, dict[str, list[str]]] = json.loads(files("raywf.demo").joinpath("keywords.json").read_bytes())
    return {
        language: {name: [stem.casefold() for stem in stems] for name, stems in groups.items()}
        for language, groups in lists.items()
    }
