"""Promises about near copies: every kind is found, strangers are not, and the aligner undoes a crop."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from fer.audit import near_copies
from fer.audit.alignment import align, make_layer, similarity
from fer.audit.near_copies import SIDE, describe, find_near_copies, make_thumbnails, mirror_signs

COUNT = 120
KINDS = ["mirrored", "encoded", "smaller", "larger", "brighter", "darker", "cropped", "all at once"]


def scenes(count: int, seed: int = 0, side: int = 64) -> list[Image.Image]:
    """Pictures of one common shape (as faces have) under coarse and fine structure of their own."""
    draws = np.random.default_rng(seed)
    common = gaussian_filter(np.random.default_rng(99).normal(size=(side, side)), 8) * 8
    pictures = []
    for _ in range(count):
        own = sum(gaussian_filter(draws.normal(size=(side, side)), width) * width for width in (1, 2, 4, 8))
        pictures.append(Image.fromarray(np.clip(128 + 45 * (own + common), 0, 255).astype(np.uint8)))
    return pictures


def changed(picture: Image.Image, kind: str, number: int) -> Image.Image:
    side = picture.width
    if kind == "mirrored":
        return ImageOps.mirror(picture)
    if kind == "encoded":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=35)
        return Image.open(stream).copy()
    if kind in ("smaller", "larger"):
        return picture.resize((round(side * (0.6 if kind == "smaller" else 1.9)),) * 2)
    if kind in ("brighter", "darker"):
        gain, offset = (1.2, 25) if kind == "brighter" else (0.75, -25)
        return picture.point([min(max(int((level - 128) * gain + 128 + offset), 0), 255) for level in range(256)])
    if kind == "cropped":
        left, top, right, bottom = np.random.default_rng(number).uniform(0, 0.05, 4) * side
        return picture.crop((round(left), round(top), round(side - right), round(side - bottom)))
    for part in ("cropped", "brighter", "encoded", "mirrored"):
        picture = changed(picture, part, number)
    return picture


def thumbnails(pictures: list[Image.Image]) -> np.ndarray:
    """As the audit makes them: packed at 48 pixels, then shrunk."""
    return make_thumbnails(np.stack([np.asarray(picture.resize((48, 48)))[..., None] for picture in pictures]))


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    return scenes(COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_nothing_else(originals: list[Image.Image], kind: str) -> None:
    copies = [changed(picture, kind, number) for number, picture in enumerate(originals[:30])]
    pairs = find_near_copies(thumbnails([*originals, *copies]))
    found = set(zip(pairs["left"], pairs["right"], strict=True))
    planted = {(number, COUNT + number) for number in range(30)}
    assert len(found & planted) >= 29
    assert found <= planted
    assert set(pairs["mirrored"]) == {kind in ("mirrored", "all at once")}
    assert pairs["similarity"].between(near_copies.COPY, 1).all()
    assert pairs["similarity"].is_monotonic_decreasing


def test_strangers_are_no_copies(originals: list[Image.Image]) -> None:
    assert find_near_copies(thumbnails(originals)).empty


def test_two_copies_alone_are_found(originals: list[Image.Image]) -> None:
    """With so few pictures there is no telling what is common to all and what is a picture's own."""
    pairs = find_near_copies(thumbnails([originals[0], changed(originals[0], "encoded", 0)]))
    assert pairs[["left", "right"]].to_numpy().tolist() == [[0, 1]]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_flat_pictures_are_copies_of_none(count: int) -> None:
    flat = np.random.default_rng(0).integers(126, 130, (count, SIDE, SIDE)).astype(np.uint8)
    pairs = find_near_copies(flat)
    assert pairs.empty
    assert list(pairs) == near_copies.PAIR_COLUMNS


def test_pictures_without_any_likely_copy_have_none() -> None:
    """Candidates of which not one survives the coarse look: small sets have such batches often."""
    draws = np.random.default_rng(0)
    common = gaussian_filter(draws.normal(size=(SIDE, SIDE)), 6) * 6 * 400  # one shape: candidates by descriptor
    faces = np.stack([np.clip(128 + common + draws.normal(0, 30, (SIDE, SIDE)), 0, 255) for _ in range(12)])
    thumbnails_ = faces.astype(np.uint8)
    assert len(near_copies._candidates(describe(thumbnails_)))
    assert find_near_copies(thumbnails_).empty
    assert align(np.zeros((0, SIDE, SIDE), np.float32), np.zeros((0, SIDE, SIDE), np.float32)).shape == (0, 4)


def test_many_lists_lose_no_copy(monkeypatch: pytest.MonkeyPatch, originals: list[Image.Image]) -> None:
    """With lists of 16 pictures, of which 4 are searched, copies are still found through either partner."""
    monkeypatch.setattr(near_copies, "LIST_SIZE", 16)
    monkeypatch.setattr(near_copies, "PROBES", 4)
    copies = [changed(picture, "all at once", number) for number, picture in enumerate(originals)]
    pairs = find_near_copies(thumbnails([*originals, *copies]))
    found = set(zip(pairs["left"], pairs["right"], strict=True))
    assert len(found) >= 0.95 * COUNT
    assert found <= {(number, COUNT + number) for number in range(COUNT)}


@pytest.mark.slow
def test_the_lists_give_the_neighbours_that_all_pairs_give(originals: list[Image.Image]) -> None:
    """Planted copies among 6,000 pictures in 24 lists, each searching 16 of them: as if all pairs were compared."""
    draws = np.random.default_rng(5)
    coarse = gaussian_filter(draws.normal(size=(6000, SIDE, SIDE)), (0, 4, 4)) * 500
    fine = gaussian_filter(draws.normal(size=(6000, SIDE, SIDE)), (0, 1, 1)) * 60
    pictures = np.clip(128 + coarse + fine, 0, 255)
    sources, copies = np.arange(300), np.arange(5700, 6000)
    pictures[copies] = np.clip(0.8 * pictures[sources, :, ::-1] + 20 + draws.normal(0, 4, (300, SIDE, SIDE)), 0, 255)
    points = describe(pictures.astype(np.uint8))
    found = {tuple(row) for row in near_copies._candidates(points).tolist()}
    exact = set()
    for mirrored, queries in enumerate((points, points * mirror_signs())):
        left, right = np.nonzero(queries @ points.T > near_copies.CANDIDATE)
        exact |= {(a, b, mirrored) for a, b in zip(left.tolist(), right.tolist(), strict=True) if a < b}
    planted = {(source, copy, 1) for source, copy in zip(sources.tolist(), copies.tolist(), strict=True)}
    assert planted <= exact and planted <= found
    assert found <= exact and len(found) >= 0.99 * len(exact)


def test_lists_grow_only_where_there_are_more_pictures_than_any_set_had() -> None:
    sizes = {2: 1, 34_000: 132, 262_144: 1024, 10**6: 2000, 10**7: 6325}
    assert {pictures: near_copies._list_count(pictures) for pictures in sizes} == sizes


def test_candidates_proven_in_blocks_are_those_proven_together(
    monkeypatch: pytest.MonkeyPatch, originals: list[Image.Image]
) -> None:
    copies = [changed(picture, "all at once", number) for number, picture in enumerate(originals[:40])]
    seen = thumbnails([*originals, *copies])
    together = find_near_copies(seen)
    monkeypatch.setattr(near_copies, "BLOCK", 7)
    assert len(together) > 30
    pd.testing.assert_frame_equal(find_near_copies(seen), together, check_exact=True)


def test_mirroring_is_a_change_of_sign(originals: list[Image.Image]) -> None:
    plain = thumbnails(originals[:20])
    both = describe(np.concatenate([plain, plain[:, :, ::-1]]))
    np.testing.assert_allclose(both[20:], both[:20] * mirror_signs(), atol=1e-4)


def test_alignment_recovers_a_known_shift_and_stretch(originals: list[Image.Image]) -> None:
    """A crop of 4 % left and 2 % at the top, enlarged again: its sampling places follow from the crop."""
    scene = [np.asarray(picture.resize((512, 512), Image.Resampling.BICUBIC)) for picture in originals[:20]]
    left, top = round(0.04 * 512), round(0.02 * 512)
    whole = np.stack([cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in scene])
    cut = np.stack([cv2.resize(picture[top:, left:], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in scene])
    one, detail_one = make_layer(cut).take(np.arange(20))
    two, detail_two = make_layer(whole).take(np.arange(20))
    place = align(one, two, steps=4)
    expected = [0.02, 0.01, -0.04, -0.02]  # the cut's middle lies half the cut off; it shows 96 % and 98 %
    np.testing.assert_allclose(np.median(place, axis=0), expected, atol=0.006)
    assert (similarity(detail_one, detail_two, place) > 0.95).all()
    assert (similarity(detail_one, detail_two, np.zeros_like(place)) < 0.9).all()
