"""Contact sheets of what the audit found, to be judged by eye: pictures side by side, each with a short caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from fer.data.copies import conflicting
from fer.data.samples import DatasetSamples
from fer.layouts.emotions import ALL_EMOTIONS
from fer.layouts.pictures import crop_box, open_picture
from utils import atomic_path

FACE = 96  # pixels a face is shown at
GAP = 8
TEXT = 9  # points of a caption
LINE = 14  # pixels a line of text
WIDTH = 1440  # pixels of a sheet
MOST_TILES = 60


class SheetWords(NamedTuple):
    """The heading of a sheet; what to see on it, in sentences; and what it is, for who does not see it."""

    title: str
    caption: str
    alt: str


SHEETS = {  # the most telling first
    "near_copies_across": SheetWords(
        "Near copies across splits or datasets, least alike last",
        "Pairs of pictures that are nearly the same and stand in different splits or datasets, the most alike first. "
        "Where both show one photo, the test set is easier than it claims; look from the end which pairs are none.",
        "Contact sheet of pairs of faces that nearly look the same, each with split, dataset and label.",
    ),
    "conflicting_labels": SheetWords(
        "Identical pictures with conflicting labels",
        "Pictures delivered several times with different emotions; below each how often it carries which label. No "
        "network can be right about all of them.",
        "Contact sheet of faces that were delivered with several labels, the labels below each.",
    ),
    "flagged": SheetWords(
        "Pictures flagged blank, small, dark or blurred",
        "Pictures in use that are blank, very small, dark or blurred, by dataset and flag, the blurriest first. Look "
        "whether an emotion can still be seen in them.",
        "Contact sheet of faces of poor quality, each with its flag and sharpness.",
    ),
    "near_copies_within": SheetWords(
        "Near copies within a split, least alike last",
        "Pairs of pictures of one split that are nearly the same, the most alike first. They count twice: in training "
        "as weight, in the test set as certainty that is not there.",
        "Contact sheet of pairs of faces of one split that nearly look the same.",
    ),
}


class SheetFace(NamedTuple):
    """One picture of a sheet: dataset folder, path in it, face (its part after ":" is the box), mirrored."""

    root: Path
    path: str
    face: str
    mirrored: bool = False


class Tile(NamedTuple):
    """Faces shown side by side, and the lines below them."""

    faces: tuple[SheetFace, ...]
    caption: tuple[str, ...]


def draw_sheet(title: str, tiles: Sequence[Tile], path: Path) -> None:
    """Write `tiles` as one PNG, row by row. Raises UnreadablePicture when a picture is gone since it was read."""
    heading, small = _font(TEXT + 2), _font(TEXT)
    wide = max((max(len(tile.faces) * FACE + GAP, _across(tile, small)) for tile in tiles), default=FACE)
    high = FACE + max((len(tile.caption) for tile in tiles), default=0) * LINE + GAP
    columns = max(1, min((WIDTH - GAP) // wide, len(tiles)))
    rows = -(-len(tiles) // columns)
    across = max(columns * wide, math.ceil(heading.getlength(title)) + GAP)
    sheet = Image.new("L", (across + GAP, rows * high + 2 * LINE + GAP), 255)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, fill=0, font=heading)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * wide, 2 * LINE + GAP + number // columns * high
        for place, face in enumerate(tile.faces):
            sheet.paste(_shown(face), (left + place * FACE, top))
        for line, text in enumerate(tile.caption):
            draw.text((left, top + FACE + line * LINE), text, fill=0, font=small)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of the figures: it comes with matplotlib and has every letter of a dataset's name."""
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _across(tile: Tile, font: ImageFont.FreeTypeFont) -> int:
    """Pixels the widest line of a caption takes."""
    return max((math.ceil(font.getlength(line)) for line in tile.caption), default=0) + GAP


def delivered_face(root: Path, path: str, face: str) -> Image.Image:
    """The delivered picture of a row, cropped to the face box that stands behind the ":" of its `face`.

    Raises UnreadablePicture when it is gone, or nothing is left of it.
    """
    picture = open_picture(root, path)
    _, _, box = face.partition(":")
    if not box:
        return picture
    left, top, right, bottom = (float(side) for side in box.split(","))
    return crop_box(picture, (left, top, right, bottom))


def _shown(face: SheetFace) -> Image.Image:
    picture = delivered_face(face.root, face.path, face.face)
    picture = picture.convert("L").resize((FACE, FACE), Image.Resampling.BICUBIC)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if face.mirrored else picture


def spread(count: int, most: int = MOST_TILES) -> list[int]:
    """At most `most` of 0 .. count - 1, evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


# ---------------------------------------------------------------- which pictures


def draw_sheets(
    copies: pd.DataFrame,
    pairs: pd.DataFrame,
    quality: dict[str, pd.DataFrame],
    datasets: dict[str, DatasetSamples],
    folder: Path,
) -> None:
    """Write <sheet>.png for each sheet of SHEETS that has something to show, and remove the others.

    `copies`, `pairs` and `quality` are the tables copies.csv, near_pairs.csv and <name>_quality.csv of the audit.
    """
    faces = _faces(datasets)
    apart = (pairs["split_left"] != pairs["split_right"]) | (pairs["dataset_left"] != pairs["dataset_right"])
    tiles = {
        "conflicting_labels": _conflicts(copies, faces),
        "near_copies_across": _pairs(pairs[apart], faces),
        "near_copies_within": _pairs(pairs[~apart], faces),
        "flagged": _flagged(quality, faces),
    }
    sample = " — SAMPLE DATA" if any(data.row.sample for data in datasets.values()) else ""
    for name, (title, *_) in SHEETS.items():
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        if tiles[name]:
            shown = [tiles[name][place] for place in spread(len(tiles[name]))]
            draw_sheet(f"{title}: {len(shown)} of {len(tiles[name])}{sample}", shown, path)


def _faces(datasets: dict[str, DatasetSamples]) -> dict[str, SheetFace]:
    faces = {}
    for data in datasets.values():
        for name, path, face in data.readable[["sample_id", "path", "face"]].itertuples(index=False):
            faces[name] = SheetFace(data.root, path, face)
    return faces


def _conflicts(copies: pd.DataFrame, faces: dict[str, SheetFace]) -> Sequence[Tile]:
    """One tile for each face delivered with several labels: the face once, a line for each label it carries."""
    exact = copies[copies["kind"] == "exact"]
    disputed = conflicting(exact.assign(face=[faces[name].face for name in exact["sample_id"]]))
    tiles = []
    for _, group in disputed.groupby(["group", "face"]):
        counts = group.groupby(["label", "split"]).size().unstack(fill_value=0).to_dict("index")
        lines = [
            f"{ALL_EMOTIONS[int(str(label))]}: {', '.join(f'{n} {split}' for split, n in found.items() if n)}"
            for label, found in counts.items()
        ]
        tiles.append(Tile((faces[group["sample_id"].iloc[0]],), tuple(lines)))
    return tiles


def _pairs(pairs: pd.DataFrame, faces: dict[str, SheetFace]) -> Sequence[Tile]:
    tiles = []
    for pair in pairs.sort_values("similarity", ascending=False).to_dict("records"):
        shown = (faces[pair["left"]], faces[pair["right"]]._replace(mirrored=pair["mirrored"]))
        likeness = f"{pair['similarity']:.3f}{' mirrored' if pair['mirrored'] else ''}"
        sides = [
            f"{pair[f'dataset_{side}']} {pair[f'split_{side}']} {ALL_EMOTIONS[pair[f'label_{side}']]}"
            for side in ("left", "right")
        ]
        tiles.append(Tile(shown, (likeness, *sides)))
    return tiles


def _flagged(quality: dict[str, pd.DataFrame], faces: dict[str, SheetFace]) -> Sequence[Tile]:
    """Sorted by dataset and flag, the blurriest first."""
    return [
        Tile((faces[row["sample_id"]],), (f"{name} {row['flag']}", f"sharpness {row['sharpness']:.2f}"))
        for name, table in quality.items()
        for row in table[table["flag"] != ""].sort_values(["flag", "sharpness"]).to_dict("records")
    ]
