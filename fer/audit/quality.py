"""Pictures that can hardly show an expression: blank, too small, too dark, too blurred.

All faces are measured at 48 x 48 gray pixels, FER2013's size (sets of smaller pictures at their own), so that a figure
means the same in every dataset; only width and height are those delivered. Thresholds were set on 35,138 faces of
FER2013, 2,223 of RAF-DB and 2,196 of ExpW. A flag removes nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer.columns.files import QUALITY
from fer.faces.packs import PackPixels

# Raise when a measure or a threshold changes.
QUALITY_VERSION = 1
QUALITY_SIDE = 48  # pixels
# Share of pixels within 4 gray levels of the most frequent one. Above 0.8 in FER2013 stand empty pictures and the cards
# "image removed"; no face does, not even RAF-DB's small aligned ones, which lie in black (up to 0.78).
BLANK_SHARE, BLANK_LEVELS = 0.8, 4
BLANK_CONTRAST = 5.0  # gray levels: the noise of a weak JPEG on one tone
SMALL_SIDE = 32  # pixels of the shorter side: enlarged sevenfold for a network of 224 pixels
# Gray levels that 95 % of the pixels stay below: less than a third of the range. Not the mean: black borders lower it.
DARK_LEVEL = 80.0
# Sharpness below that of 95 % of faces once they were reduced to 16 pixels and enlarged again (0.25 to 0.29 in the
# three datasets): such a picture holds no more than 16 pixels of detail.
BLURRED_SHARPNESS = 0.30
QUALITY_THRESHOLDS = {
    "blank_share": BLANK_SHARE, "blank_contrast": BLANK_CONTRAST, "small_side": SMALL_SIDE,
    "dark_level": DARK_LEVEL, "blurred_sharpness": BLURRED_SHARPNESS,
}  # fmt: skip
FLAGS = ("blank", "small", "dark", "blurred")  # the first that fits is given


def measure_quality(rows: pd.DataFrame, pictures: np.ndarray | PackPixels) -> pd.DataFrame:
    """QUALITY of `rows` (sample_id, split, label, width, height), whose pictures are uint8 [N, S, S, 1].

    brightness is the mean (0 to 255), contrast the standard deviation, sharpness the standard deviation of the
    Laplacian over the contrast, so that brightening alone does not sharpen; flag is "" or one of FLAGS.
    """
    measured = np.array([_measures(picture[..., 0]) for picture in pictures]).reshape(-1, 5)
    brightness, contrast, sharpness, light, flat = measured.T
    fits = {
        "blank": (contrast < BLANK_CONTRAST) | (flat > BLANK_SHARE),
        "small": (rows[["width", "height"]].min(axis=1) < SMALL_SIDE).to_numpy(),
        "dark": light < DARK_LEVEL,
        "blurred": sharpness < BLURRED_SHARPNESS,
    }
    flag = np.select([fits[name] for name in FLAGS], FLAGS, default="")
    table = rows[list(QUALITY[:5])].reset_index(drop=True)
    return table.assign(
        brightness=brightness.round(2), contrast=contrast.round(2), sharpness=sharpness.round(4), flag=flag
    )


def flag_counts(quality: pd.DataFrame) -> dict[str, int]:
    """Pictures measured (rows), and how many carry each flag."""
    return {"rows": len(quality)} | {flag: int((quality["flag"] == flag).sum()) for flag in FLAGS}


def _measures(picture: np.ndarray) -> tuple[float, float, float, float, float]:
    """Brightness, contrast, sharpness, level of the 95th percentile, share of the most frequent tone."""
    import cv2

    if len(picture) > QUALITY_SIDE:
        picture = cv2.resize(picture, (QUALITY_SIDE, QUALITY_SIDE), interpolation=cv2.INTER_AREA)
    values = np.ascontiguousarray(picture)
    contrast = float(values.std())
    edges = float(cv2.Laplacian(values, cv2.CV_32F).std())
    counts = np.bincount(values.ravel(), minlength=256)
    tone = int(counts.argmax())
    flat = counts[max(tone - BLANK_LEVELS, 0) : tone + BLANK_LEVELS + 1].sum() / values.size
    light = float(np.searchsorted(np.cumsum(counts), 0.95 * values.size))
    return float(values.mean()), contrast, edges / max(contrast, 1.0), light, float(flat)
