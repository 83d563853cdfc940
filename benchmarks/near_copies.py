"""How many planted near copies the audit finds, and how many pairs it finds that are none.

    python benchmarks/near_copies.py [--config studies/mine.py] [--set KEY=VALUE] [--each 200]

Plants `--each` copies of every kind for the pictures of less than 100 pixels and as many for the others, each of a
source of its own, into all distinct pictures of the active datasets, and searches them all at once. Parameters are
drawn uniformly from the ranges in RANGES. A pair counts as false when a planted picture is in it and the other
picture is neither its source nor in the group of near copies its source was in before planting. Precision on the
datasets' own pairs is not known: the contact sheets of `main.py --audit` show them. Prints a table and writes
OUTPUT_DIR/benchmarks/near_copies.json.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from fer.audit.near_copies import find_near_copies, make_thumbnails
from fer.audit.quality import QUALITY_SIDE
from fer.data.samples import DatasetSamples, load_samples
from fer.faces.packs import pack_or_load
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import crop_box, open_picture
from fer.settings.settings import Settings, load_settings

RANGES = {
    "mirrored": "left and right swapped",
    "encoded again": "JPEG, quality 30 to 95",
    "resized": "0.5 to 2 times the side; bilinear, bicubic or Lanczos",
    "brightened": "gain 0.7 to 1.3 around 128, then -40 to +40 gray levels, clipped",
    "cropped": "0 to 5 % of the side cut off at each of the four edges",
    "gray": "of a colour picture: ITU-R 601, ITU-R 709 or plain mean of the channels",
    "all at once": "mirrored, cropped, brightened, JPEG 50 to 95, as above",
}
LARGE = 100  # pixels


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row for each size and kind. `options`: config (a file or None), set (KEY=VALUE …), each."""
    config = Path(options["config"]) if options["config"] else None
    return measure(load_settings(config, options["set"]), options["each"])


def measure(settings: Settings, each: int) -> list[dict[str, Any]]:
    """One line for each size and kind: size, kind, pictures, planted, found, recall, pairs, false_pairs, precision."""
    datasets = [load_samples(name, settings) for name in settings.active_datasets]
    parts = [_distinct(data, settings) for data in datasets]
    rows = pd.concat([table for table, _ in parts], ignore_index=True)
    own = np.concatenate([thumbnails for _, thumbnails in parts])
    with tempfile.TemporaryDirectory() as folder:
        copies, planted = plant(rows, {data.name: data for data in datasets}, each, settings.split_seed, Path(folder))
    before = find_near_copies(own)
    after = find_near_copies(np.concatenate([own, planted]))
    return _scores(copies, after, _groups(before, len(own)), len(own))


def _groups(pairs: pd.DataFrame, count: int) -> list[int]:
    """Number of the group of near copies that each of `count` pictures is in; a picture alone is a group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    graph = coo_matrix((np.ones(len(pairs), bool), edges), shape=(count, count))
    return connected_components(graph, directed=False)[1].tolist()


def _distinct(data: DatasetSamples, settings: Settings) -> tuple[pd.DataFrame, np.ndarray]:
    """One row for each face (dataset, path, face, gray, shorter), and their thumbnails."""
    samples = data.samples.drop_duplicates("face").reset_index(drop=True)
    side = min(QUALITY_SIDE, int(samples[["width", "height"]].to_numpy().max()))
    cache = settings.output_path / "cache" / "packed"
    pack = pack_or_load(samples[["path", "face", *BOX_COLUMNS]], data.root, side, True, cache, f"{data.name}__planted")
    shorter = samples[["width", "height"]].min(axis=1)
    return samples[["dataset", "path", "face", "gray"]].assign(shorter=shorter), make_thumbnails(pack.open())


def plant(
    rows: pd.DataFrame, datasets: dict[str, DatasetSamples], each: int, seed: int, folder: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """Changed copies of drawn rows: a table (size, kind, source: row number), and their thumbnails, in order."""
    draws = np.random.default_rng(seed)
    lines, thumbnails = [], []
    for large in (False, True):
        order = draws.permutation(np.flatnonzero((rows["shorter"] >= LARGE) == large))
        for kind in RANGES:
            fits = order[~rows["gray"].to_numpy()[order]] if kind == "gray" else order
            sources, order = fits[:each], np.setdiff1d(order, fits[:each], assume_unique=True)
            draws.shuffle(order)
            for source in sources:
                picture = _changed(_face(rows.iloc[source], datasets), kind, draws)
                thumbnails.append(_thumbnail(picture, datasets[rows["dataset"].iloc[source]], folder))
                lines.append({"size": f"{LARGE} px and more" if large else f"below {LARGE} px", "kind": kind})
                lines[-1]["source"] = source
    return pd.DataFrame(lines), np.concatenate(thumbnails)


def _face(row: pd.Series, datasets: dict[str, DatasetSamples]) -> Image.Image:
    picture = open_picture(datasets[row["dataset"]].root, row["path"])
    _, _, box = row["face"].partition(":")
    if not box:
        return picture
    left, top, right, bottom = (float(side) for side in box.split(","))
    return crop_box(picture, (left, top, right, bottom))


def _thumbnail(picture: Image.Image, data: DatasetSamples, folder: Path) -> np.ndarray:
    """uint8 [1, 32, 32] of a picture that goes the way of all others: a file, a pack, a thumbnail."""
    picture.save(folder / "copy.png")
    side = min(QUALITY_SIDE, int(data.samples[["width", "height"]].to_numpy().max()))
    files = pd.DataFrame({"path": ["copy.png"], "face": [""]}).reindex(columns=["path", "face", *BOX_COLUMNS])
    pack = pack_or_load(files, folder, side, True, folder, "copy")
    thumbnail = make_thumbnails(np.array(pack.open()))
    pack.pixels.unlink()
    return thumbnail


# ---------------------------------------------------------------- kinds of copies


def _changed(picture: Image.Image, kind: str, draws: np.random.Generator) -> Image.Image:
    if kind == "mirrored":
        return ImageOps.mirror(picture)
    if kind == "encoded again":
        return _encoded(picture, int(draws.integers(30, 96)))
    if kind == "resized":
        return _resized(picture, draws)
    if kind == "brightened":
        return _brightened(picture, draws)
    if kind == "cropped":
        return _cropped(picture, draws)
    if kind == "gray":
        return _gray(picture, draws)
    changed = _brightened(_cropped(ImageOps.mirror(picture), draws), draws)
    return _encoded(changed, int(draws.integers(50, 96)))


def _encoded(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).copy()


def _resized(picture: Image.Image, draws: np.random.Generator) -> Image.Image:
    factor = draws.uniform(0.5, 2)
    way = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)[draws.integers(3)]
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), way)


def _brightened(picture: Image.Image, draws: np.random.Generator) -> Image.Image:
    gain, offset = draws.uniform(0.7, 1.3), draws.uniform(-40, 40)
    pixels = (np.asarray(picture).astype(float) - 128) * gain + 128 + offset
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def _cropped(picture: Image.Image, draws: np.random.Generator) -> Image.Image:
    left, top, right, bottom = draws.uniform(0, 0.05, 4)
    width, height = picture.size
    edges = left * width, top * height, (1 - right) * width, (1 - bottom) * height
    return picture.crop(tuple(round(edge) for edge in edges))


def _gray(picture: Image.Image, draws: np.random.Generator) -> Image.Image:
    weights = [(0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722), (1 / 3, 1 / 3, 1 / 3)][draws.integers(3)]
    return Image.fromarray((np.asarray(picture.convert("RGB")) @ np.array(weights)).round().astype(np.uint8))


# ---------------------------------------------------------------- scores


def _scores(copies: pd.DataFrame, pairs: pd.DataFrame, groups: list[int], own: int) -> list[dict[str, Any]]:
    """Scores of `pairs` over `own` pictures and the `copies` after them; `groups` of the own pictures before."""
    sources = [*range(own), *copies["source"]]  # of an own picture: itself
    lines: dict[int, dict[str, int]] = {row: {"found": 0, "true": 0, "false": 0} for row in range(own, len(sources))}
    for left, right in pairs.loc[pairs["right"] >= own, ["left", "right"]].to_numpy().tolist():
        for row, other in ((left, right), (right, left)):
            if row >= own:
                lines[row]["found"] |= other == sources[row]
                lines[row]["true" if groups[sources[row]] == groups[sources[other]] else "false"] += 1
    table = pd.concat([copies, pd.DataFrame(lines.values())], axis=1)
    results = []
    for (size, kind), part in table.groupby(["size", "kind"], sort=False):
        true, false = int(part["true"].sum()), int(part["false"].sum())
        line = {"size": size, "kind": kind, "pictures": len(sources), "planted": len(part)}
        line |= {"found": int(part["found"].sum()), "recall": float(part["found"].mean())}
        results.append(line | {"pairs": true + false, "false_pairs": false, "precision": true / max(true + false, 1)})
    return results


def main() -> None:
    """The command."""
    title = "Near copies planted among all pictures, {each} of each kind"
    harness.command("near_copies", __doc__, title, run, config=None, set=[], each=200)


if __name__ == "__main__":
    main()
