"""Which element of one list is the same thing as which of another? One to one, and never two of one list.

First whatever spells the same (case, space and Unicode form aside). What is left over is compared: texts by rapidfuzz's token-sort
ratio ("Smith, John" is "John Smith"), records by the share of their fields that agree. Pairs that are alike enough form a graph that falls
into small pieces; where a piece leaves a choice, the assignment with the greatest total likeness is taken (Kuhn 1955; scipy's
`linear_sum_assignment`). Records are the same where their key is, if they have one.
"""

import math
import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any

from raywf.aggregation.identity import identity, spelling
from raywf.aggregation.shapes import record_of
from raywf.errors import RaywfError

LIKE_RECORDS = 0.5
"""Records without a key are one thing where half of their fields agree."""
COMPARED_UP_TO = 500
"""Elements left over on each side that are compared; the pairs grow as the square. Beyond, only equal spelling counts."""
ORDERED_UP_TO = 500
KEYS = ("id", "key", "sku", "code", "email", "url", "name", "title")
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")


def name_of(element: Any, key: str | None) -> Hashable:
    """What an element is called: equal for elements that need no comparing."""
    if key is not None:
        record = record_of(element)
        element = element if record is None else record.get(key)
    if isinstance(element, str):
        return _SPACE.sub(" ", unicodedata.normalize("NFKC", element)).strip().casefold()
    return identity(element)


def key_of(lists: Sequence[Sequence[Any]]) -> str | None:
    """The first of `KEYS` that every record has, with a text or a whole number, once in its list; None where there is none."""
    records = [[record_of(element) for element in each] for each in lists]
    if not any(records) or any(record is None for each in records for record in each):
        return None
    for key in KEYS:
        found = [[record.get(key) for record in each if record is not None] for each in records]
        if all(type(value) in (str, int) for each in found for value in each) and all(
            len({name_of(value, None) for value in each}) == len(each) for each in found
        ):
            return key
    return None


def matched(left: Sequence[Any], right: Sequence[Any], like: float) -> list[tuple[int, int]]:
    """Pairs of places of elements that are alike by at least `like`, 0 to 1; each place at most once."""
    if not left or not right or max(len(left), len(right)) > COMPARED_UP_TO:
        return []
    edges = _edges(left, right, like)
    pairs = []
    for rows, columns in _pieces(edges):
        if len(rows) == 1 or len(columns) == 1:
            best = min(((r, c) for r in rows for c in columns if (r, c) in edges), key=lambda rc: (-edges[rc], rc))
            pairs.append(best)
        else:
            pairs += _assigned(rows, columns, edges)
    return sorted(pairs)


def _edges(left: Sequence[Any], right: Sequence[Any], like: float) -> dict[tuple[int, int], float]:
    found = {}
    if all(isinstance(element, str) for element in (*left, *right)):
        if like >= 1:
            return {}
        process, fuzz, utils = _rapidfuzz()
        scores = process.cdist(
            left, right, scorer=fuzz.token_sort_ratio, processor=utils.default_process, score_cutoff=100 * like
        )
        digits = [[_DIGITS.findall(text) for text in side] for side in (left, right)]
        for row, column in zip(*scores.nonzero(), strict=True):
            r, c = int(row), int(column)
            if digits[0][r] == digits[1][c]:  # "invoice 1" is like "invoice 2", and another invoice
                found[r, c] = float(scores[r, c]) / 100
        return found
    least = min(like, LIKE_RECORDS)
    for r, one in enumerate(left):
        for c, other in enumerate(right):
            share = likeness(one, other)
            if share >= least:
                found[r, c] = share
    return found


def likeness(one: Any, other: Any) -> float:
    """The share of all their fields that two records agree on; 0 for anything else, which is the same or is not."""
    a, b = record_of(one), record_of(other)
    if a is None or b is None or not (a or b):
        return 0.0
    same = sum(1 for name in a.keys() & b.keys() if name_of(a[name], None) == name_of(b[name], None))
    return same / len(a.keys() | b.keys())


def _pieces(edges: dict[tuple[int, int], float]) -> list[tuple[list[int], list[int]]]:
    """Connected pieces of the graph, as rows and columns."""
    root: dict[tuple[str, int], tuple[str, int]] = {}

    def of(node: tuple[str, int]) -> tuple[str, int]:
        while root.setdefault(node, node) != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for r, c in edges:
        one, other = sorted((of(("row", r)), of(("column", c))))
        root[other] = one
    found: dict[tuple[str, int], tuple[list[int], list[int]]] = {}
    for node in sorted(root):
        rows, columns = found.setdefault(of(node), ([], []))
        (rows if node[0] == "row" else columns).append(node[1])
    return list(found.values())


def _assigned(rows: list[int], columns: list[int], edges: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    try:
        from scipy.optimize import linear_sum_assignment  # half a second and 70 MB: only where there is a choice
    except ImportError:
        raise _lacks("scipy") from None
    table = [[edges.get((r, c), 0.0) for c in columns] for r in rows]
    chosen = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    return [(rows[i], columns[j]) for i, j in chosen if (rows[i], columns[j]) in edges]


def _rapidfuzz() -> Any:
    try:
        from rapidfuzz import fuzz, process, utils
    except ImportError:
        raise _lacks("rapidfuzz") from None
    return process, fuzz, utils


def _lacks(package: str) -> RaywfError:
    return RaywfError(
        f"lists whose elements are spelled differently are matched with {package}, which is not installed here: "
        'pip install "raywf[aggregation]", or take strategy=Lists(like=1), which compares for equality only'
    )


def in_order(elements: int, lists: Sequence[tuple[float, Sequence[int]]], spelled: Sequence[Any]) -> list[int]:
    """The numbers 0 to `elements` - 1 in an order that goes against as little weight as may be.

    `lists` are (weight, numbers in the order of one source). Next comes whoever nobody is before, by weight of those who have both;
    among several, and in a circle, whoever stands further to the front on average, then by spelling.
    """
    places: list[list[tuple[float, float]]] = [[] for _ in range(elements)]
    for weight, numbers in lists:
        for at, number in enumerate(numbers):
            places[number].append((weight, at / len(numbers)))
    front = [
        (
            round(math.fsum(w * p for w, p in each) / max(math.fsum(w for w, _ in each), 1e-300), 12),
            spelling(identity(spelled[n])),
            n,
        )
        for n, each in enumerate(places)
    ]
    if elements > ORDERED_UP_TO:
        return [number for *_, number in sorted(front)]
    ahead = [[0.0] * elements for _ in range(elements)]
    for weight, numbers in lists:
        for at, number in enumerate(numbers):
            row = ahead[number]
            for later in numbers[at + 1 :]:
                row[later] += weight
    before = [
        sum(1 for m in range(elements) if ahead[m][n] > ahead[n][m] + 1e-12) for n in range(elements)
    ]  # how many have to come first
    left, order = set(range(elements)), []
    while left:
        free = [n for n in left if before[n] == 0]
        following = min(front[n] for n in free or left)[2]
        order.append(following)
        left.discard(following)
        for n in left:
            before[n] -= ahead[following][n] > ahead[n][following] + 1e-12
    return order
