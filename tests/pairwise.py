"""Sets of answers in which every pair of two answers occurs together at least once, where they go together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]
Pair = tuple[tuple[str, int], tuple[str, int]]


def pairwise(options: Mapping[str, Sequence[Any]], possible: Callable[[Row], bool]) -> Iterator[Row]:
    """Rows of one value for each name, until no pair is missing. `possible` judges rows that may be incomplete."""
    missing = {pair for pair in _pairs(options) if possible({name: options[name][index] for name, index in pair})}
    while missing:
        row = dict(min(missing))
        for name in sorted(options, key=lambda name: -len(options[name])):
            if name in row:
                continue
            candidates = [
                index
                for index in range(len(options[name]))
                if possible({known: options[known][at] for known, at in {**row, name: index}.items()})
            ]
            row[name] = max(candidates, key=lambda index: (_covered({**row, name: index}, missing), -index))
        missing -= set(combinations(sorted(row.items()), 2))
        yield {name: options[name][index] for name, index in row.items()}


def _pairs(options: Mapping[str, Sequence[Any]]) -> Iterator[Pair]:
    for one, other in combinations(sorted(options), 2):
        for first, second in product(range(len(options[one])), range(len(options[other]))):
            yield (one, first), (other, second)


def _covered(row: dict[str, int], missing: set[Pair]) -> int:
    return sum(pair in missing for pair in combinations(sorted(row.items()), 2))
