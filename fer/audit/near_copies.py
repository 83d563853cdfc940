"""Near copies: the same picture mirrored, encoded again, resized, brightened, slightly cropped or made gray.

Three steps, each over thumbnails of 32 x 32 gray pixels:

1. A descriptor per picture: the 63 lowest coefficients of its cosine transform without the mean, each scaled by
   its spread over all pictures. Mirroring only turns the sign of every second one, so mirrored copies cost a second
   look-up, no second descriptor. (Perceptual hashes are the signs of such coefficients; the values tell more.)
2. Candidates: pairs whose descriptors have a cosine above CANDIDATE, found through lists around k-means centres,
   of which each picture searches the PROBES nearest. scikit-learn makes the centres, NumPy searches the lists. The
   usual libraries were measured on the same descriptors: faiss and usearch take 2.5 to 5 times the CPU time for the
   same recall (benchmarks/SCALE.md), and faiss crashes beside torch on macOS
   (https://github.com/faiss-wheels/faiss-wheels/issues/73).
3. Proof: a candidate is a copy when its two pictures, aligned, correlate in their detail (see audit/alignment.py).
   A first alignment at 16 x 16 drops most candidates cheaply. Detail takes four times the memory of a thumbnail, so it
   is made for the pictures of BLOCK candidates at a time.

Pictures so flat that they show nothing are compared with none.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
import pandas as pd

from fer.audit.alignment import Layer, align, make_layer, similarity
from fer.data.copies import NEAR_COPY
from fer.faces.packs import PackPixels
from utils import progress

# Raise the version in data/copies.py when other pairs are found among the same pictures. COPY: least correlation of
# detail at 32 x 32; below it, faces aligned in black borders pass as copies.
NEAR_COPIES_VERSION, COPY = NEAR_COPY
SIDE = 32  # pixels of a thumbnail
LOWEST = 8  # coefficients along each axis
CANDIDATE = 0.7  # cosine; of 2,600 planted copies one lay below
LIST_SIZE = 256  # pictures, on average, around one centre; more above a quarter of a million, see _list_count
PROBES = 16  # lists searched for each picture; with 8 three of 2,600 copies stood in none of them, with 16 none
COARSE = 0.65  # least correlation of detail at 16 x 16 for a closer look
FLAT = 5.0  # gray levels: pictures with less contrast are not compared
BLOCK = 65_536  # candidates proven together
PRIOR = 200  # pictures: how many the assumed spread of the coefficients counts for
PAIR_COLUMNS = ["left", "right", "similarity", "mirrored"]


def find_near_copies(thumbnails: np.ndarray) -> pd.DataFrame:
    """Pairs of near copies among uint8 thumbnails [N, 32, 32].

    Returns left, right (rows, left < right), similarity (COPY to 1) and mirrored, most similar first; each pair
    once, as the better of mirrored and not. Identical thumbnails are pairs too: remove exact copies before.
    """
    rows = np.flatnonzero(_contrast(thumbnails) >= FLAT)
    if len(rows) < 2:
        return pd.DataFrame({"left": [], "right": [], "similarity": [], "mirrored": []}).astype(
            {"left": int, "right": int, "similarity": float, "mirrored": bool}
        )
    thumbnails = thumbnails if len(rows) == len(thumbnails) else thumbnails[rows]
    pairs = _proven(thumbnails, _candidates(describe(thumbnails)))
    pairs = pairs.assign(left=rows[pairs["left"]], right=rows[pairs["right"]])
    best = pairs.sort_values(["similarity", "left", "right"], ascending=[False, True, True])
    return best.drop_duplicates(["left", "right"]).reset_index(drop=True)[PAIR_COLUMNS]


def _contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Standard deviation of each, float64 [N]; of all at once, NumPy would hold eight times their bytes."""
    parts = [thumbnails[start : start + 4096].std((1, 2)) for start in range(0, len(thumbnails), 4096)]
    return np.concatenate([np.zeros(0), *parts])


def make_thumbnails(pictures: np.ndarray | PackPixels) -> np.ndarray:
    """uint8 [N, 32, 32] of gray pictures uint8 [N, S, S, 1], by area where they are larger."""
    import cv2

    thumbnails = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    way = cv2.INTER_AREA if pictures.shape[1] > SIDE else cv2.INTER_LINEAR
    for row, picture in enumerate(pictures):
        thumbnails[row] = cv2.resize(np.ascontiguousarray(picture[..., 0]), (SIDE, SIDE), interpolation=way)
    return thumbnails


# ---------------------------------------------------------------- descriptors


def mirror_signs() -> np.ndarray:
    """float32 [63]: a picture's descriptor times this is the descriptor of its mirror image."""
    return np.tile((-1.0) ** np.arange(LOWEST), LOWEST)[1:].astype(np.float32)


def describe(thumbnails: np.ndarray) -> np.ndarray:
    """Descriptors float32 [N, 63] of length 1, whatever the brightness and contrast of the thumbnails."""
    from scipy.fft import dctn

    parts = []
    for start in range(0, len(thumbnails), 4096):
        values = thumbnails[start : start + 4096].astype(np.float32)
        lowest = dctn(values, axes=(1, 2), norm="ortho")[:, :LOWEST, :LOWEST]
        parts.append(_unit(lowest.reshape(-1, LOWEST**2)[:, 1:]))
    return _unit(_whitened(np.concatenate(parts)))


def _whitened(coefficients: np.ndarray) -> np.ndarray:
    """Centred and scaled by what is usual among these pictures; few pictures lean on what is usual for faces.

    Means are those of the pictures and their mirror images together, so that mirroring stays a change of sign.
    The prior, mean 0 and spread falling with frequency as in natural pictures, keeps two copies alone similar.
    """
    count = len(coefficients)
    mean = coefficients.sum(0) / (count + PRIOR)
    mean[mirror_signs() < 0] = 0
    frequency = np.hypot(*np.divmod(np.arange(LOWEST**2), LOWEST))[1:]
    usual = frequency**-2 / (frequency**-2).sum()
    spread = (((coefficients - mean) ** 2).sum(0) + PRIOR * usual) / (count + PRIOR)
    return ((coefficients - mean) / np.sqrt(spread)).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


# ---------------------------------------------------------------- candidates


def _candidates(points: np.ndarray) -> np.ndarray:
    """int64 [M, 3]: left, right, mirrored (0 or 1) of pairs with a cosine above CANDIDATE."""
    centres = _centres(points)
    members = _rows_by_list(_nearest(points, centres, 1), len(centres))
    found = [np.zeros(0, np.int64)]
    for mirrored, queries in enumerate((points, points * mirror_signs())):
        searchers = _rows_by_list(_nearest(queries, centres, PROBES), len(centres))
        for inside, asking in zip(members, searchers, strict=True):
            one, other = np.nonzero(queries[asking] @ points[inside].T > CANDIDATE)
            low, high = np.minimum(asking[one], inside[other]), np.maximum(asking[one], inside[other])
            codes = (low * len(points) + high) * 2 + mirrored
            found.append(codes[low < high])
    codes, mirrored_bit = np.divmod(np.unique(np.concatenate(found)), 2)
    return np.stack([*np.divmod(codes, len(points)), mirrored_bit], axis=1)


def _centres(points: np.ndarray) -> np.ndarray:
    """Directions the lists are made around, float32 [L, 63], from a sample of the points."""
    from sklearn.cluster import MiniBatchKMeans

    count = _list_count(len(points))
    sample = np.random.default_rng(0).permutation(len(points))[: 64 * count]
    means = MiniBatchKMeans(count, init="random", n_init=1, max_iter=20, batch_size=4096, random_state=0)
    return _unit(means.fit(points[sample]).cluster_centers_).astype(np.float32)


def _list_count(pictures: int) -> int:
    """How many lists there are: beyond 262,144 pictures longer ones, so that finding the nearest stays the lesser work.

    With lists of one size it would grow as n², and finding their centres too; so all grows as n^1.5.
    """
    return max(1, pictures // max(LIST_SIZE, isqrt(pictures) // 2))


def _nearest(points: np.ndarray, centres: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` nearest centres (all, if there are fewer) of each point, int64 [N, count]."""
    count = min(count, len(centres))
    parts = []
    for start in range(0, len(points), 8192):
        cosines = points[start : start + 8192] @ centres.T
        parts.append(np.argpartition(-cosines, count - 1, axis=1)[:, :count])
    return np.concatenate(parts)


def _rows_by_list(lists: np.ndarray, count: int) -> list[np.ndarray]:
    """For each of `count` lists, the rows of `lists` [N, K] that name it."""
    order = np.argsort(lists, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(lists.ravel(), minlength=count))
    return np.split(order // lists.shape[1], ends[:-1])


# ---------------------------------------------------------------- proof


def _proven(thumbnails: np.ndarray, candidates: np.ndarray) -> pd.DataFrame:
    """The candidates that are copies: left, right, similarity, mirrored."""
    blocks = progress(_batches(candidates, BLOCK), "near copies", -(-len(candidates) // BLOCK))
    tables = [_proven_block(thumbnails, block) for block in blocks]
    return pd.concat(tables, ignore_index=True) if tables else _table(candidates, np.zeros(0))


def _proven_block(thumbnails: np.ndarray, candidates: np.ndarray) -> pd.DataFrame:
    """The same of some candidates, with the layers of their pictures alone."""
    rows, places = np.unique(candidates[:, :2], return_inverse=True)
    seen = thumbnails[rows]
    fine = make_layer(seen)
    coarse = make_layer(seen.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).astype(np.uint8))
    numbered = np.column_stack([places.reshape(-1, 2), candidates[:, 2]])
    found = pd.concat([_compared(fine, coarse, batch) for batch in _batches(numbered, 256)], ignore_index=True)
    return found.assign(left=rows[found["left"]], right=rows[found["right"]])


def _batches(candidates: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (candidates[start : start + size] for start in range(0, len(candidates), size))


def _compared(fine: Layer, coarse: Layer, batch: np.ndarray) -> pd.DataFrame:
    (one, detail_one), (two, detail_two) = _pictures(coarse, batch)
    place = align(one, two)
    likely = similarity(detail_one, detail_two, place) >= COARSE
    batch, place = batch[likely], place[likely]
    (one, detail_one), (two, detail_two) = _pictures(fine, batch)
    alike = similarity(detail_one, detail_two, align(one, two, place))
    return _table(batch[alike >= COPY], alike[alike >= COPY])


def _pictures(layer: Layer, batch: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    left, right, mirrored = batch.T
    return layer.take(left), layer.take(right, mirrored == 1)


def _table(batch: np.ndarray, alike: np.ndarray) -> pd.DataFrame:
    left, right, mirrored = batch.T
    return pd.DataFrame(
        {"left": left, "right": right, "similarity": np.minimum(alike.astype(float), 1.0), "mirrored": mirrored == 1}
    )
