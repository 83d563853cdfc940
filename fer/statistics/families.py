"""Which comparisons are made on a test set, and what comes out: pairs in families, each with its own correction.

| family | the same in all of it | compared |
|---|---|---|
| models | training set, variant, pictures tested on | the networks |
| ensembles | the same | the ensembles, with each other and with each network |
| variants | training set, model; each on pictures of its own variant, or all on the same | the variants |
| training sets | variant, model, pictures tested on | individual, combined, … |
| TTA | one setup | each policy against none |

All but the last are made without test-time augmentation. Runs whose epoch was chosen on the test set are in none.
`p_adjusted`, `low_adjusted` and `high_adjusted` hold together for all pairs of a family and score, and say what the
verdict says; `p`, `low` and `high` are those of the pair alone.

Pairs have the role "primary" where config.py declares their family (PRIMARY_COMPARISONS), in PRIMARY_METRIC, and both
sides are what the question is about (`Family.is_asked`). They are corrected apart from the other pairs of their
family, and for all primary families of the study as well (fer.statistics.simultaneous). The rest is exploratory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fer.columns.files import SETUP
from fer.data.folds import OFFICIAL
from fer.statistics.answers import Answer, Setup, TestSet, paired_in_order, resampled_of
from fer.statistics.significance import ALPHA, ENOUGH_DATASETS, Difference, compare, friedman_nemenyi, mcnemar_p
from fer.statistics.simultaneous import Together, over_families, together
from fer.study.variants import scored_variant

# `test_variant` where every setup is tested on pictures of its own variant.
OWN = "own"
PRIMARY, EXPLORATORY = "primary", "exploratory"
Sides = tuple[list[Answer], list[Answer]]
FIRST, SECOND, TIE = "first is better", "second is better", "no difference shown"


@dataclass(frozen=True)
class Family:
    """Setups compared with each other. `context`: what they share ("" for what differs); answers by name."""

    kind: str
    test_variant: str
    tta: str
    context: dict[str, str]
    members: dict[str, list[Answer]]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The names compared: policies with "none" alone, ensembles with everybody, else all with all."""
        for first, second in combinations(sorted(self.members), 2):
            if self.kind == "TTA":
                if "none" in (first, second):
                    yield (second, first) if first == "none" else (first, second)
            elif self.kind != "ensembles" or self.is_ensemble(first) or self.is_ensemble(second):
                yield first, second

    def is_ensemble(self, name: str) -> bool:
        """True for a member that is a vote of several networks."""
        return _of_several(self.members[name][0])

    def is_asked(self, test_on: str, names: tuple[str, str]) -> bool:
        """True for a pair that a primary comparison is about.

        Both trained on the one dataset they are tested on, alone or with others, on pictures of the variant each was
        validated on; single networks, but for the family of ensembles. So each question has one family a setting.
        """
        answers = [answer for name in names for answer in self.members[name]]
        at_home = all(test_on in answer.entry.run.run["train_on"] for answer in answers)
        single = self.kind == "ensembles" or not any(map(_of_several, answers))
        return at_home and single and all(_on_own(answer) for every in self.members.values() for answer in every)


@dataclass(frozen=True)
class Tested:
    """Pairs of a family on one score, corrected together: rows in the columns of COMPARISONS, and their differences."""

    role: str
    rows: list[dict[str, Any]]
    differences: list[Difference]
    together: Together

    def judge(self, p_adjusted: np.ndarray, alpha: float) -> None:
        """Write into the rows what holds at `alpha` for the family."""
        level = self.together.level(alpha)
        for row, one, p in zip(self.rows, self.differences, p_adjusted, strict=True):
            low, high = one.interval(level)
            verdict = TIE if p >= ALPHA else FIRST if one.value > 0 else SECOND
            adjusted = {"low_adjusted": low, "high_adjusted": high, "p_adjusted": float(p), "verdict": verdict}
            row.update(adjusted | {"role": self.role, "pairs_in_family": len(self.rows)})


def judge_primary(tested: list[Tested]) -> None:
    """Adjust the primary families of a study for each other."""
    if tested:
        p_values, alpha = over_families([one.together for one in tested])
        for one, p in zip(tested, p_values, strict=True):
            one.judge(p, alpha)


# ---------------------------------------------------------------- who meets whom


def families(test_set: TestSet) -> Iterator[Family]:
    """The families of a test set that hold two members or more, in the order they are read."""
    by_validation = [answer for answer in test_set.pooled if not answer.setup.is_oracle]
    plain = [answer for answer in by_validation if answer.tta == "none"]
    found = [
        *_families("models", [answer for answer in plain if not _of_several(answer)], "model"),
        *(family for family in _families("ensembles", plain, "model") if any(map(family.is_ensemble, family.members))),
        *_variant_families(plain),
        *_families("training sets", plain, "train_on", "mixing"),
        *_policy_families(by_validation),
    ]
    yield from (family for family in found if len(family.members) > 1)


def _of_several(answer: Answer) -> bool:
    return bool(answer.entry.run.members)


def _variant_families(answers: list[Answer]) -> Iterator[Family]:
    """Each variant on its own pictures; and all on the same, where that is something else."""
    own = [answer for answer in answers if _on_own(answer)]
    for family in _families("variants", own, "variant", "balance", test_variant=OWN):
        tested = {answer.test_variant for members in family.members.values() for answer in members}
        yield family if len(tested) > 1 else replace(family, test_variant=tested.pop())
    for family in _families("variants", answers, "variant", "balance"):
        if not all(_on_own(answer) for members in family.members.values() for answer in members):
            yield family


def _on_own(answer: Answer) -> bool:
    return answer.test_variant == scored_variant(answer.setup.variant)


def _families(
    kind: str, answers: list[Answer], varies: str, also: str = "", test_variant: str | None = None
) -> Iterator[Family]:
    """One family per value of what does not vary; members are named by what does.

    `test_variant`: put all pictures tested on under this name, in place of keeping them apart.
    """
    grouped: dict[tuple[str, ...], list[Answer]] = {}
    for answer in answers:
        shared = tuple("" if name in (varies, also) else value for name, value in asdict(answer.setup).items())
        grouped.setdefault((test_variant or answer.test_variant, *shared), []).append(answer)
    for (tested, *common), members in sorted(grouped.items(), key=_family_key):
        named: dict[str, list[Answer]] = {}
        for member in members:
            named.setdefault(getattr(member.setup, varies), []).append(member)
        yield Family(kind, tested, "none", dict(zip(SETUP, common, strict=True)), named)


def _family_key(item: tuple[Any, Any]) -> Any:
    return item[0]


def _policy_families(answers: list[Answer]) -> Iterator[Family]:
    grouped: dict[tuple[Setup, str], dict[str, list[Answer]]] = {}
    for answer in answers:
        grouped.setdefault((answer.setup, answer.test_variant), {}).setdefault(answer.tta, []).append(answer)
    for (setup, test_variant), members in sorted(grouped.items(), key=_family_key):
        if "none" in members:
            yield Family("TTA", test_variant, "", asdict(setup), members)


# ---------------------------------------------------------------- what comes out


def comparisons(test_set: TestSet, family: Family, declared: str = "") -> list[Tested]:
    """The pairs of a family for each score, judged for themselves; those that share no rows are left out.

    `declared`: the primary metric where the family's kind is declared as primary, else "".
    """
    pairs: dict[tuple[str, str], Sides] = {}
    for names in family.pairs():
        sides = on_shared_rows(family.members[names[0]], family.members[names[1]])
        if sides is not None and family.kind == "TTA":
            sides = paired_in_order(*sides)
        if sides is not None and all(sides):
            pairs[names] = sides
    asked = {names for names in pairs if family.is_asked(test_set.name, names)}
    found = []
    for score in test_set.scores:
        primary = asked if score == declared else set()
        parts = {PRIMARY: primary, EXPLORATORY: pairs.keys() - primary}
        for role, chosen in parts.items():
            part = {one: sides for one, sides in pairs.items() if one in chosen}
            found += [_tested(test_set, family, part, score, role)] if part else []
    return found


def rows_of(tested: list[Tested]) -> list[dict[str, Any]]:
    """The rows of a family, all scores of a pair after one another."""
    of_pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in (row for one in tested for row in one.rows):
        of_pairs.setdefault((row["first"], row["second"]), []).append(row)
    return [row for rows in of_pairs.values() for row in rows]


def _tested(test_set: TestSet, family: Family, pairs: dict[tuple[str, str], Sides], score: str, role: str) -> Tested:
    """A row per pair, corrected together. What was resampled is not kept: it is large."""
    same_rows = len({id(first[0].rows) for first, _ in pairs.values()}) == 1
    found = [difference(first, second, score, family.kind == "TTA") for first, second in pairs.values()]
    pairs_and_found = zip(pairs.items(), found, strict=True)
    rows = [_row(test_set, family, names, sides, score, one) for (names, sides), one in pairs_and_found]
    kept = [replace(one, deviations=np.zeros(0)) for one in found]
    tested = Tested(role, rows, kept, together(found, same_rows))
    tested.judge(tested.together.p, ALPHA)
    return tested


def on_shared_rows(first: list[Answer], second: list[Answer]) -> tuple[list[Answer], list[Answer]] | None:
    """The answers of both sides to the rows most of them answered; None where no rows are shared."""
    shared = {id(answer.rows) for answer in first} & {id(answer.rows) for answer in second}
    if not shared:
        return None
    times = {rows: sum(id(answer.rows) == rows for answer in (*first, *second)) for rows in shared}
    most = max(shared, key=lambda rows: times[rows])
    sides = [[answer for answer in side if id(answer.rows) == most] for side in (first, second)]
    return sides[0], sides[1]


def difference(first: list[Answer], second: list[Answer], score: str, paired: bool) -> Difference:
    """The comparison of two sides on shared rows; for accuracy of one network a side with McNemar's test.

    McNemar knows no groups and the bootstrap is the less exact on few rows: for accuracy of two networks the larger
    of the two p-values is taken, so that neither weakness makes a difference look real.
    """
    rows = first[0].rows
    found = compare(resampled_of(first, score), resampled_of(second, score), rows.sizes[score], paired)
    if score != "accuracy" or len(first) > 1 or len(second) > 1:
        return found
    right = [side[0].predicted == rows.labels for side in (first, second)]
    discordant = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum()), len(rows)
    method = f"{found.method}, exact McNemar: the larger p"
    return replace(found, p=max(found.p, mcnemar_p(*right)), discordant=discordant, method=method)


def _row(
    test_set: TestSet, family: Family, names: tuple[str, str], sides: Sides, score: str, found: Difference
) -> dict[str, Any]:
    first, second = sides
    rows = first[0].rows
    values = [float(resampled_of(side, score).values.mean()) for side in sides]
    exact = mcnemar_p(first[0].predicted == rows.labels, second[0].predicted == rows.labels)
    return {
        "family": family.kind, "test_on": test_set.name, "test_variant": family.test_variant, "tta": family.tta,
        **family.context, "first": names[0], "second": names[1], "metric": score,
        "first_value": values[0], "second_value": values[1], "difference": found.value, "low": found.low,
        "high": found.high, "p": found.p, "p_mcnemar": None if found.discordant is None else exact,
        "weights_only": found.weights_only, "n_first": len(first), "n_second": len(second),
        "seeds_first": len({answer.seed for answer in first}), "seeds_second": len({answer.seed for answer in second}),
        "n_folds": len({fold for answer in (*first, *second) for fold in answer.folds} - {OFFICIAL}),
        "n": len(rows), "n_groups": rows.draws.n_groups, "method": found.method,
    }  # fmt: skip


# ---------------------------------------------------------------- over many data sets


def over_datasets(seeds: pd.DataFrame) -> list[dict[str, Any]]:
    """Friedman and Nemenyi over models, for each variant and score with six data sets or more.

    `seeds`: seeds.csv; a data set counts where a network was trained and tested on it alone, without TTA, and every
    model was. Rows in the columns of COMPARISONS, p_adjusted being Nemenyi's p, p Friedman's.
    """
    own = seeds[(seeds["train_on"] == seeds["test_on"]) & (seeds["tta"] == "none") & ~seeds["is_oracle"]]
    shared = ["variant", "balance", "mixing", "selection", "test_variant"]
    rows = []
    for values, part in own.groupby([*shared, "metric"], sort=True):
        context = dict(zip([*shared, "metric"], values, strict=True))
        table = part.pivot(index="test_on", columns="model", values="mean").dropna()
        if len(table) >= ENOUGH_DATASETS and table.shape[1] > 2:
            rows += list(_nemenyi_rows(table, context))
    return rows


def _nemenyi_rows(table: pd.DataFrame, context: dict[str, Any]) -> Iterator[dict[str, Any]]:
    friedman, nemenyi = friedman_nemenyi(table)
    pairs = list(combinations(table.columns, 2))
    for first, second in pairs:
        p = float(nemenyi[first][second])
        values = table[first].mean(), table[second].mean()
        better = FIRST if values[0] > values[1] else SECOND
        yield context | {
            "role": EXPLORATORY, "family": "models over data sets", "test_on": f"{len(table)} data sets",
            "tta": "none", "first": first, "second": second, "first_value": values[0], "second_value": values[1],
            "difference": values[0] - values[1], "p": friedman, "p_adjusted": p, "pairs_in_family": len(pairs),
            "verdict": better if max(p, friedman) < ALPHA else TIE, "weights_only": False,
            "n": len(table), "method": "p: Friedman over all models; p_adjusted: Nemenyi of this pair",
        }  # fmt: skip
