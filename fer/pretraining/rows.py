"""Which rows a pretraining may see: nothing that any later score rests on."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fer.data.copies import NEAR_GROUP
from fer.data.folds import UNREAD
from fer.data.samples import DatasetSamples

SEEN = ("train", "unlabelled")  # splits that a pretraining learns from
TESTED = ("test", UNREAD)  # in a fold of LABEL_NOISE, test rows that stay unread are held out all the same
HELD_OUT = ("val", *TESTED)


def rows_to_learn_from(
    sources: Mapping[str, DatasetSamples],
    targets: Mapping[str, DatasetSamples],
    near: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, pd.DataFrame]:
    """The training and unlabelled rows of each of the `sources` that stand in nothing held out, as in its samples.

    Held out are the validation and test rows of the sources and of the `targets`, the datasets trained on afterwards:
    every row whose picture is one of these (see data/copies.py) leaves, and of a dataset also every row of their
    groups (same person, same photo). So they do whatever COPIES says, and where LIMIT_PER_SPLIT left them out too.
    `near`, with COPIES = "drop_near": the rows of all of them, their NEAR_GROUP found among all; near copies leave too.
    """
    beside = _near_copies(near, HELD_OUT)
    held = _held_out(sources, targets, HELD_OUT)
    found = {}
    for name, data in sources.items():
        rows = data.samples[data.samples["split"].isin(SEEN)]
        groups = set(data.samples.loc[data.samples["split"].isin(HELD_OUT), "group"])
        found[name] = rows[~rows["content"].isin(held) & ~rows["group"].isin(groups) & ~rows["sample_id"].isin(beside)]
    return found


def rows_to_choose_by(
    sources: Mapping[str, DatasetSamples],
    targets: Mapping[str, DatasetSamples],
    near: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, pd.DataFrame]:
    """The validation rows of each of the `sources` whose picture stands in no test set of them or of the `targets`.

    `near` as in `rows_to_learn_from`: nor a near copy of it.
    """
    beside = _near_copies(near, TESTED)
    tested = _held_out(sources, targets, TESTED)
    found = {name: data.rows("val") for name, data in sources.items()}
    return {name: rows[~rows["content"].isin(tested) & ~rows["sample_id"].isin(beside)] for name, rows in found.items()}


def _near_copies(near: Mapping[str, pd.DataFrame] | None, splits: tuple[str, ...]) -> set[str]:
    """sample_id of what hangs together with rows of these splits as near copies, those rows among them."""
    if near is None:
        return set()
    every = pd.concat(near.values())
    held = every.loc[every["split"].isin(splits), NEAR_GROUP]
    return set(every.loc[every[NEAR_GROUP].isin(held), "sample_id"])


def _held_out(
    sources: Mapping[str, DatasetSamples], targets: Mapping[str, DatasetSamples], splits: tuple[str, ...]
) -> set[str]:
    """The pictures of these splits, also of rows that left them."""
    every = [data.readable for data in {**sources, **targets}.values()]
    return {content for rows in every for content in rows.loc[rows["split"].isin(splits), "content"]}
