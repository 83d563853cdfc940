"""What GRID found, by validation: the score of every point, its interval, and how far the chosen point is above it.

tables/grid.csv has a row per point and setup, and per point over all setups; tables/grid_classes.csv a row per point,
setup and class. The columns are in docs/columns.md.
Two points are never one mean. A point chosen on these pictures scores too well on them: how well it does is what the
test set says once its values stand in config.py. Setups whose runs GRID leaves as they are stand in no row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.columns.files import GRID_CLASSES, GRID_FOUND, GRID_SETUP
from fer.layouts.emotions import class_names
from fer.results.study_files import StoredGrid, read_grid
from fer.runs.run import ORACLE
from fer.statistics.answers import Answer, read_test_sets, resampled_of
from fer.statistics.significance import EffectiveSize, Resampled, compare
from utils import InputError, read_csv, write_changed


@dataclass(frozen=True)
class _Scored:
    """One point in one setup, or over all: its score by seed on shared resamples of `n` validation pictures."""

    place: int
    resampled: Resampled
    size: EffectiveSize
    n: int


def grid_file(output: Path) -> Path:
    """Where the table lies."""
    return output / "tables" / "grid.csv"


def classes_file(output: Path) -> Path:
    """Where the table of classes lies."""
    return output / "tables" / "grid_classes.csv"


def write_grid(output: Path) -> pd.DataFrame | None:
    """Write both tables, see above, and return the first; None, and no files, where the present plan has no GRID."""
    grid = read_grid(output)
    if grid is None:
        grid_file(output).unlink(missing_ok=True)
        classes_file(output).unlink(missing_ok=True)
        return None
    axes = list(dict.fromkeys(name for point in grid.points for name in point.values))
    answers = dict(_setups(grid))
    table = pd.DataFrame(_rows(grid, answers), columns=[*axes, *GRID_SETUP, *GRID_FOUND])
    write_changed(grid_file(output), table.to_csv(index=False, lineterminator="\n"))
    classes = pd.DataFrame(_class_rows(grid, answers), columns=[*axes, *GRID_SETUP, *GRID_CLASSES])
    write_changed(classes_file(output), classes.to_csv(index=False, lineterminator="\n"))
    return table


def read_grid_table(output: Path) -> pd.DataFrame | None:
    """The first table, texts as texts; None where there is no GRID. Raises InputError when it is damaged."""
    return _read(grid_file(output), GRID_FOUND)


def read_grid_classes(output: Path) -> pd.DataFrame | None:
    """The table of classes, in the same way."""
    return _read(classes_file(output), GRID_CLASSES)


def _read(path: Path, found: tuple[str, ...]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = read_csv(path, [*GRID_SETUP, "metric", "class"])
        missing = [name for name in (*GRID_SETUP, *found) if name not in table]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is made again.") from error
    return table.fillna(dict.fromkeys(GRID_SETUP, ""))


def axes_of(table: pd.DataFrame) -> list[str]:
    """The axes of the grid: the columns before those every grid has."""
    return [str(name) for name in table if name not in (*GRID_SETUP, *GRID_FOUND, *GRID_CLASSES)]


def setup_words(setup: Sequence[Any]) -> str:
    """A setup in words: "tiny on a, preprocessed", of several datasets also how they mix; "" for the mean over all."""
    train_on, variant, model, mixing, validated_on = setup
    if not train_on:
        return ""
    mixed = f", {mixing} mixing, validated on {validated_on}" if "+" in train_on else ""
    return f"{model} on {train_on}, {variant}{mixed}"


# ---------------------------------------------------------------- rows

Setup = tuple[str, ...]
Answers = dict[int, list[Answer]]  # by the place of their point in the grid


def _setups(grid: StoredGrid) -> Iterator[tuple[Setup, Answers]]:
    """The answers of every setup that GRID changes, by point; points without a scored run are left out."""
    for test_set in read_test_sets(grid.study, [], split="val"):
        answers: dict[Setup, list[Answer]] = {}
        for one in test_set.pooled:
            if one.tta == "none" and one.setup.selection != ORACLE:
                setup = (one.setup.train_on, one.setup.variant, one.setup.model, one.setup.mixing, test_set.name)
                answers.setdefault(setup, []).append(one)
        for key, members in sorted(answers.items()):
            named = {one.run for one in members}
            if len({point.runs & named for point in grid.points}) > 1:
                by_point = {
                    place: [one for one in members if one.run in point.runs] for place, point in enumerate(grid.points)
                }
                yield key, {place: mine for place, mine in by_point.items() if mine}


def _rows(grid: StoredGrid, answers: Mapping[Setup, Answers]) -> Iterator[dict[str, Any]]:
    metric = grid.study.primary_metric
    by_setup = {setup: [_scored(place, mine, metric) for place, mine in points.items()]
                for setup, points in answers.items()}  # fmt: skip
    if len(by_setup) > 1 and (overall := _over_setups(by_setup)):
        yield from _rows_of(grid, dict.fromkeys(GRID_SETUP, ""), overall, len(by_setup))
    for setup, scored in by_setup.items():
        yield from _rows_of(grid, dict(zip(GRID_SETUP, setup, strict=True)), scored, 1)


def _class_rows(grid: StoredGrid, answers: Mapping[Setup, Answers]) -> Iterator[dict[str, Any]]:
    """Recall of each class at every point: mean and standard deviation over seeds, and the pictures it is of."""
    for setup, points in answers.items():
        for place, mine in points.items():
            values = {name: _plain(value) for name, value in grid.points[place].values.items()}
            recalls = _recalls(mine)
            classes = recalls.shape[1]
            support = np.mean([np.bincount(one.rows.labels, minlength=classes) for one in mine], axis=0)
            for label, name in enumerate(class_names(classes)):
                found = recalls[:, label]
                spread = float(found.std(ddof=1)) if len(found) > 1 else None
                yield values | dict(zip(GRID_SETUP, setup, strict=True)) | {
                    "class": name, "recall": found.mean(), "sd": spread, "n_seeds": len(found),
                    "support": round(float(support[label])),
                }  # fmt: skip


def _recalls(answers: list[Answer]) -> np.ndarray:
    """Recall of each class by seed (the mean over its folds and repeats), [S, C]; NaN without a picture."""
    by_seed: dict[int, list[np.ndarray]] = {}
    for one in answers:
        pictures, right = one.rows.labels, one.rows.labels[one.predicted == one.rows.labels]
        classes = one.probabilities.shape[1]
        counts, hits = (np.bincount(labels, minlength=classes) for labels in (pictures, right))
        found = np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)
        by_seed.setdefault(one.seed, []).append(found)
    return np.stack([np.mean(found, axis=0) for _, found in sorted(by_seed.items())])


def _scored(place: int, mine: list[Answer], metric: str) -> _Scored:
    rows = {id(one.rows): one.rows for one in mine}.values()  # folds validate on other rows each
    return _Scored(place, resampled_of(mine, metric), _least([each.sizes[metric] for each in rows]), _count(rows))


def _count(rows: Any) -> int:
    return round(float(np.mean([len(each) for each in rows])))


def _least(sizes: list[EffectiveSize]) -> EffectiveSize:
    return min(sizes, key=lambda size: size.freedom)


def _over_setups(by_setup: Mapping[tuple[str, ...], list[_Scored]]) -> list[_Scored]:
    """The mean over all setups of each point that is scored in all of them with the same seeds."""
    found = []
    validated = {setup[-1]: scored[0].n for setup, scored in by_setup.items() if scored}
    for place in sorted({one.place for scored in by_setup.values() for one in scored}):
        members = [one for scored in by_setup.values() for one in scored if one.place == place]
        if len(members) == len(by_setup) and len({len(one.resampled) for one in members}) == 1:
            values = np.mean([one.resampled.values for one in members], axis=0)
            draws = np.mean([one.resampled.draws for one in members], axis=0)
            size = _least([one.size for one in members])
            found.append(_Scored(place, Resampled(values, draws), size, sum(validated.values())))
    return found


def _rows_of(grid: StoredGrid, setup: dict[str, str], scored: list[_Scored], setups: int) -> Iterator[dict[str, Any]]:
    best = _chosen(scored)
    for one in scored:
        point = grid.points[one.place]
        nothing = Resampled(np.zeros(len(one.resampled)), np.zeros_like(one.resampled.draws))
        score = compare(one.resampled, nothing, one.size, paired=True)
        low, high = np.clip(score.interval(), min(0.0, *one.resampled.values), 1.0)  # kappa alone goes below 0
        row = {name: _plain(value) for name, value in point.values.items()} | setup | {
            "in_plan": point.is_own, "metric": grid.study.primary_metric, "validation_score": score.value, "low": low,
            "high": high, "chosen_by_validation": one is best, "n_setups": setups, "n_seeds": len(one.resampled),
            "n": one.n, "weights_only": score.weights_only,
        }  # fmt: skip
        if best is not None and one is not best:
            behind = compare(best.resampled, one.resampled, one.size)
            row |= {"below_best": behind.value, "below_best_low": behind.low, "below_best_high": behind.high}
        yield row


def _chosen(scored: list[_Scored]) -> _Scored | None:
    """The best of those with all seeds, the first of equals; None where there is nothing to choose from."""
    seeds = max((len(one.resampled) for one in scored), default=0)
    whole = [one for one in scored if len(one.resampled) == seeds]
    return max(whole, key=lambda one: one.resampled.values.mean()) if len(whole) > 1 else None


def _plain(value: Any) -> Any:
    """A value as it stands in a cell: numbers and texts as they are, others as JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)
