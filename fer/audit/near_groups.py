"""Faces that hang together as near copies, for COPIES = "drop_near": found before splits are carved.

A group is a connected component of pairs of near copies (audit/near_copies.py); its name is the smallest `face` in it,
so a face without near copies is a group of its own. The pack of small pictures is the one the audit looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fer.audit.near_copies import find_near_copies, make_thumbnails
from fer.audit.quality import QUALITY_SIDE
from fer.data.copies import NEAR_COPY, NEAR_GROUP
from fer.data.samples import DatasetSamples
from fer.faces.packs import pack_or_load
from fer.settings.settings import Settings
from utils import fingerprint, log, write_text


def near_groups(name: str, rows: pd.DataFrame, root: Path, settings: Settings) -> pd.Series:
    """The group of each readable row of a dataset, as text with the index of `rows`."""
    groups = group_near_copies(rows["face"], _thumbnails(name, rows, root, settings))
    in_one = groups.groupby(groups).transform("size") > 1
    log.info("%s: %d of %d rows have a near or exact copy", name, int(in_one.sum()), len(rows))
    return groups


def with_groups_between(
    datasets: Mapping[str, DatasetSamples], tables: dict[str, pd.DataFrame], settings: Settings
) -> dict[str, pd.DataFrame]:
    """The tables of datasets trained on together, their groups found anew among all their faces; kept in the cache."""
    every = pd.concat([table[["dataset", "face"]] for table in tables.values()])
    key = fingerprint([list(NEAR_COPY), every.to_numpy().tolist()], 32)
    path = settings.output_path / "cache" / "near_groups" / f"{key}.csv"
    if not path.is_file():
        seen = [_in_use(datasets[name], table, settings) for name, table in tables.items()]
        groups = group_near_copies(every["face"].reset_index(drop=True), np.concatenate(seen))
        write_text(path, groups.to_csv(index=False))
    groups = pd.read_csv(path, dtype="str", keep_default_na=False)[NEAR_GROUP]
    ends = np.cumsum([len(table) for table in tables.values()])[:-1]
    parts = np.split(groups.to_numpy(), ends)
    return {name: tables[name].assign(**{NEAR_GROUP: part}) for name, part in zip(tables, parts, strict=True)}


def group_near_copies(faces: pd.Series, thumbnails: np.ndarray) -> pd.Series:
    """Name the group of each of `faces` (text [N], equal where identical), shown by uint8 `thumbnails` [N, 32, 32]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    known = faces.drop_duplicates()
    first = faces.index.get_indexer(known.index)
    pairs = find_near_copies(thumbnails[first])
    edges = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    graph = coo_matrix((np.ones(len(pairs), bool), edges), shape=(len(known), len(known)))
    component = pd.Series(connected_components(graph, directed=False)[1], index=known.to_numpy())
    name = pd.Series(known.to_numpy(), index=known.to_numpy()).groupby(component).transform("min")
    return faces.map(name).rename(NEAR_GROUP)


def _in_use(data: DatasetSamples, table: pd.DataFrame, settings: Settings) -> np.ndarray:
    rows = data.unsettled
    places = pd.Index(rows["sample_id"]).get_indexer(pd.Index(table["sample_id"]))
    return _thumbnails(data.name, rows, data.root, settings, places)


def _thumbnails(
    name: str, rows: pd.DataFrame, root: Path, settings: Settings, places: np.ndarray | None = None
) -> np.ndarray:
    """uint8 [N, 32, 32] of `rows`, or of those at `places` among them."""
    side = min(QUALITY_SIDE, int(rows[["width", "height"]].to_numpy(dtype=float).max()))
    pack = pack_or_load(rows, root, side, True, settings.output_path / "cache" / "packed", f"{name}__raw")
    return make_thumbnails(pack.open(np.arange(len(rows)) if places is None else places))
