"""How doubtful each label is: confident learning on out-of-fold probabilities, by cleanlab.

Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068. The probabilities of a row come from networks that
saw neither it nor a copy of it. Rows trained on and test rows are judged apart, so that no test label has a say in
which training labels are doubtful. What is found here is put on disk by fer/study/label_noise.py:

| file in saidas/audit/ | holds |
|---|---|
| label_noise.csv | every row: given and suggested label, self-confidence, whether it is doubtful, rank |
| label_noise_matrix.csv | per dataset and part, how many rows of each given label are estimated to be of each emotion |
| label_noise.json | what it was made by, counts |
| <dataset>_doubtful_labels.png | the most doubtful rows of the pairs of emotions that are taken for each other most |
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fer.audit.contact_sheets import MOST_TILES, SheetFace, SheetWords, Tile, draw_sheet
from fer.layouts.emotions import ALL_EMOTIONS
from utils import InputError, log, read_sealed

TRAINED, TESTED = "train and val", "test"  # the parts of a dataset that are judged apart
SHEET = "_doubtful_labels.png"
SHEET_WORDS = SheetWords(
    "Labels that networks doubt",
    "Faces whose label networks doubt that never saw them, by pairs of emotions: given → suggested, the label's "
    "probability below. Some are wrong labels, some are faces that are hard: look which.",
    "Contact sheet of faces with doubtful labels, the given and the suggested emotion below each.",
)
PAIRS_SHOWN = 10


class Doubt(NamedTuple):
    """What cleanlab says of N rows.

    `suggested` int64 [N]: most probable class; `confidence` float64 [N]: probability of the given label; `is_doubtful`
    bool [N]; `joint` float64 [C, C]: estimated rows of each given label (lines) whose true emotion is each (columns).
    """

    suggested: np.ndarray
    confidence: np.ndarray
    is_doubtful: np.ndarray
    joint: np.ndarray

    @property
    def share(self) -> float:
        """Estimated share of wrong labels."""
        return 1 - float(np.trace(self.joint)) / max(float(self.joint.sum()), 1.0)


def cleanlab_problem() -> str | None:
    """Why LABEL_NOISE cannot be done here: its package is not installed."""
    from importlib.util import find_spec

    if find_spec("cleanlab") is not None:
        return None
    return (
        "LABEL_NOISE needs the package cleanlab, which the extra `noise` installs: `uv sync --extra noise`, or "
        "`pip install '.[noise]'` in the project's folder. Or set LABEL_NOISE = None."
    )


def find_doubt(labels: np.ndarray, probabilities: np.ndarray) -> Doubt:
    """Judge `labels` int64 [N] by out-of-fold `probabilities` float [N, C]. Raises InputError without cleanlab.

    Classes without a row are left out: there is no threshold to be had for them.
    """
    if problem := cleanlab_problem():
        raise InputError(problem)
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues

    there, given = np.unique(labels, return_inverse=True)
    among = probabilities[:, there].astype(np.float64)
    among = np.maximum(among, 1e-12)
    among /= among.sum(axis=1, keepdims=True)
    joint = np.zeros((probabilities.shape[1],) * 2)
    if len(there) < 2:
        joint[there, there] = len(labels)
        return Doubt(labels, np.ones(len(labels)), np.zeros(len(labels), dtype=bool), joint)
    found = compute_confident_joint(given, among, calibrate=True)
    with warnings.catch_warnings():  # a class of one row keeps it; the library would name it by a number of its own
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        is_doubtful = find_label_issues(given, among, confident_joint=found, n_jobs=1)
    joint[np.ix_(there, there)] = found
    return Doubt(there[among.argmax(axis=1)], among[np.arange(len(given)), given], is_doubtful, joint)


def doubt_table(rows: pd.DataFrame, doubt: Doubt) -> pd.DataFrame:
    """LABEL_NOISE columns of one part of a dataset but the rank; `rows` in the order of `doubt`."""
    return rows[["sample_id", "dataset", "split", "label"]].assign(
        suggested=doubt.suggested, self_confidence=doubt.confidence, doubtful=doubt.is_doubtful
    )


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of one dataset with their rank: 1 is the most doubtful; labels called doubtful stand before others."""
    order = table.sort_values(["doubtful", "self_confidence", "sample_id"], ascending=[False, True, True]).index
    return table.assign(rank=pd.Series(np.arange(1, len(table) + 1), index=order))


def matrix_table(name: str, part: str, doubt: Doubt) -> pd.DataFrame:
    """LABEL_NOISE_MATRIX: one row for each given label and emotion, of one part of a dataset."""
    given, true = (axis.ravel() for axis in np.indices(doubt.joint.shape))
    of_label = doubt.joint.sum(axis=1)[given]
    share = np.divide(doubt.joint.ravel(), of_label, out=np.full(len(given), np.nan), where=of_label > 0)
    columns = {"dataset": name, "part": part, "label": given, "suggested": true}
    return pd.DataFrame(columns | {"estimated": doubt.joint.ravel(), "share_of_label": share})


# ---------------------------------------------------------------- contact sheet


def draw_doubtful(table: pd.DataFrame, faces: dict[str, SheetFace], path: Path, note: str) -> None:
    """One sheet of a dataset: of the pairs that are doubted most often, the most doubtful rows of each.

    `table`: its rows of label_noise.csv; nothing is drawn, and an older sheet removed, where no label is doubtful.
    """
    path.unlink(missing_ok=True)
    doubtful = table[table["doubtful"]]
    if doubtful.empty:
        return
    tiles = [_tile(row, faces[str(row["sample_id"])]) for row in most_doubtful(doubtful).to_dict("records")]
    draw_sheet(f"{SHEET_WORDS.title}: {len(tiles)} of {len(doubtful):,}{note}", tiles, path)


def most_doubtful(doubtful: pd.DataFrame) -> pd.DataFrame:
    """Equally many rows of each of the most frequent pairs, pair by pair, the most doubtful first."""
    pairs = doubtful.groupby(["label", "suggested"]).size().sort_values(ascending=False, kind="stable")
    chosen = pairs.index[:PAIRS_SHOWN]
    each = MOST_TILES // len(chosen)
    parts = [doubtful[(doubtful["label"] == given) & (doubtful["suggested"] == other)] for given, other in chosen]
    return pd.concat([part.nsmallest(each, "rank") for part in parts])


def _tile(row: dict[Any, Any], face: SheetFace) -> Tile:
    pair = f"{ALL_EMOTIONS[row['label']]} → {ALL_EMOTIONS[row['suggested']]}"
    return Tile((face,), (pair, f"{row['self_confidence']:.3f} {row['split']}"))


# ---------------------------------------------------------------- in words


def read_label_noise(output: Path) -> list[str]:
    """The sentence on each dataset that LABEL_NOISE judged; none where it judged none."""
    path = output / "audit" / "label_noise.json"
    try:
        return [summary(name, parts) for name, parts in read_sealed(path)["datasets"].items()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is not shown (%s); run main.py: it is made again.", path, error)
        return []


def summary(name: str, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence on a dataset; `parts` as label_noise.json holds them: rows, doubtful, estimated_share, accuracy."""
    found = "; ".join(
        f"{part} {one['doubtful']:,} of {one['rows']:,} ({one['doubtful'] / one['rows']:.1%}; estimated share of "
        f"wrong labels {one['estimated_share']:.1%}; the networks agree with {one['accuracy']:.1%} of all)"
        for part, one in parts.items()
    )
    return f"{name}: labels doubted by networks that never saw their faces: {found}."
