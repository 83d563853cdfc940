"""Which rows of a paper table cannot be told from its best one, as paired tests over all of its rows say.

A table's rows are the setups of one kind of experiment (results.tables.SECTIONS) tested on one test set under one TTA
policy, oracles left out. The best of them was found by looking at these very pictures, so each comparison with it is
corrected for all pairs of the table, not only for those with the best (fer.statistics.simultaneous): whoever is best,
the intervals hold together. A family of fewer setups (comparisons.csv) is corrected for less and may tell more apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from fer.results.study_files import StoredStudy
from fer.results.tables import section_of
from fer.statistics.answers import Answer, Setup, TestSet, datasets_of
from fer.statistics.families import difference, on_shared_rows
from fer.statistics.significance import ALPHA
from fer.statistics.simultaneous import together

Member = tuple[Setup, str]
Members = dict[Member, list[Answer]]


def best_rows(study: StoredStudy, test_set: TestSet) -> Iterator[dict[str, Any]]:
    """A row per table, score and setup in the columns of best.csv.

    `below_best`: mean score of the best minus that of this one, on rows both answered. `indistinguishable`: True for
    the best, and for all whose adjusted p against it is 0.05 or more. Setups that share no rows with the best are not
    compared: p is empty, and they count as distinguishable.
    """
    tables: dict[tuple[str, str, str], Members] = {}
    parts = tuple(datasets_of(study, test_set.name))
    for answer in test_set.pooled:
        if not answer.setup.is_oracle:
            key = section_of(answer.entry.run, parts, study.trained_on), answer.entry.rows, answer.tta
            tables.setdefault(key, {}).setdefault((answer.setup, answer.test_variant), []).append(answer)
    for (section, rows, tta), members in sorted(tables.items()):
        keys = {"section": section, "test_on": test_set.name, "rows": rows, "tta": tta}
        for row in _rows_of_table(members, test_set.scores):
            yield keys | row


def _rows_of_table(members: Members, scores: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of one table, without what is the same in all of it."""
    names = sorted(members)
    pairs = {}
    for first, second in combinations(range(len(names)), 2):
        sides = on_shared_rows(members[names[first]], members[names[second]])
        if sides is not None:
            pairs[first, second] = sides
    for score in scores:
        values = [float(np.mean([answer.scores[score] for answer in members[name]])) for name in names]
        best = int(np.argmax(values))
        found = [difference(*sides, score, paired=False) for sides in pairs.values()]
        same_rows = len({id(first[0].rows) for first, _ in pairs.values()}) == 1
        adjusted = dict(zip(pairs, together(found, same_rows).p, strict=True)) if found else {}
        apart = dict(zip(pairs, (one.value for one in found), strict=True))
        for place, (setup, test_variant) in enumerate(names):
            pair = (min(place, best), max(place, best))
            p = adjusted.get(pair)
            below = None if p is None else apart[pair] if best < place else -apart[pair]
            yield asdict(setup) | {
                "metric": score, "test_variant": test_variant, "value": values[place], "is_best": place == best,
                "below_best": 0.0 if place == best else below, "p_adjusted": p,
                "indistinguishable": place == best or (p is not None and p >= ALPHA), "pairs_in_family": len(pairs),
                "n": len(members[names[place]][0].rows),
            }  # fmt: skip
