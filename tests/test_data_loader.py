"""Promises about packs and batches: pixels survive, order and draws depend on (seed, epoch, batch) alone."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data_loader import BatchSource, FaceRows, NetworkInput, make_loader, resolve_workers, to_network_input
from fer.faces.packs import Pack, pack_or_load
from fer.layouts.label_sheets import BOX_COLUMNS
from utils import InputError

AUGMENTATION = {"kind": "strong", "strength": 1.0, "probability": 0.8}


def files_of(folder: Path, count: int, mode: str = "L", side: int = 12) -> pd.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (side, side) if mode == "L" else (side, side, 3)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(count)], "face": [str(i) for i in range(count)]})
    return table.reindex(columns=["path", "face", *BOX_COLUMNS]).astype(dict.fromkeys(BOX_COLUMNS, float))


@pytest.fixture
def faces(tmp_path: Path) -> FaceRows:
    """Faces of two packs of different size, as in a combined run."""
    parts = []
    for name, count, side in (("small", 40, 12), ("large", 25, 20)):
        files = files_of(tmp_path / name, count, side=side)
        pack = pack_or_load(files, tmp_path / name, side, True, tmp_path / "cache", name)
        labels = np.arange(count) % 7
        parts.append(FaceRows.from_pack(pack, np.arange(count), labels, [f"{name}/{i}" for i in range(count)]))
    return FaceRows.join(parts)


@pytest.mark.parametrize(("mode", "gray", "channels"), [("L", True, 1), ("RGB", False, 3), ("L", False, 3)])
def test_packed_pixels_equal_the_decoded_file(tmp_path: Path, mode: str, gray: bool, channels: int) -> None:
    files = files_of(tmp_path / "in", 5, mode)
    pack = pack_or_load(files, tmp_path / "in", 12, gray, tmp_path / "cache", "x")
    assert pack.shape == (5, 12, 12, channels)
    for number, packed in enumerate(pack.open()):
        decoded = np.asarray(Image.open(tmp_path / "in" / f"{number}.png").convert("L" if gray else "RGB"))
        assert (packed.squeeze() == decoded).all()


def test_a_box_is_cut_out_before_packing(tmp_path: Path) -> None:
    files = files_of(tmp_path / "in", 1)
    files[BOX_COLUMNS] = [[2.0, 3.0, 10.0, 11.0]]
    pack = pack_or_load(files, tmp_path / "in", 8, True, tmp_path / "cache", "x")
    whole = np.asarray(Image.open(tmp_path / "in" / "0.png"))
    assert (pack.open()[0][..., 0] == whole[3:11, 2:10]).all()


def test_a_finished_pack_is_not_decoded_again_and_a_truncated_one_is(tmp_path: Path) -> None:
    files = files_of(tmp_path / "in", 4)
    pack = pack_or_load(files, tmp_path / "in", 12, True, tmp_path / "cache", "x")
    before = np.asarray(pack.open())
    (tmp_path / "in" / "0.png").rename(tmp_path / "in" / "away.png")
    assert pack_or_load(files, tmp_path / "in", 12, True, tmp_path / "cache", "x") == pack
    (tmp_path / "in" / "away.png").rename(tmp_path / "in" / "0.png")
    pack.pixels.write_bytes(pack.pixels.read_bytes()[:150])
    again = pack_or_load(files, tmp_path / "in", 12, True, tmp_path / "cache", "x")
    assert (np.asarray(again.open()) == before).all()


def test_a_removed_pack_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="removed while in use"):
        Pack(tmp_path / "gone.npy", (1, 2, 2, 1)).open()


def batches_of(source: BatchSource, workers: int, epoch: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader = make_loader(source, workers)
    loader.sampler.epoch = epoch  # type: ignore[union-attr]
    return [chunk for chunks in loader for chunk in chunks]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_worker_count(faces: FaceRows, workers: int) -> None:
    source = BatchSource(faces, 16, seed=5, shuffle=True, augmentation=AUGMENTATION)
    for (ours, truth), (theirs, labels) in zip(batches_of(source, 0), batches_of(source, workers), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(truth, labels)


@pytest.mark.slow
def test_batches_are_the_same_in_a_spawned_worker(faces: FaceRows) -> None:
    source = BatchSource(faces, 16, seed=5, shuffle=True, augmentation=AUGMENTATION)
    copy = pickle.loads(pickle.dumps(source))
    loader = torch.utils.data.DataLoader(
        copy, batch_size=None, sampler=[(3, i) for i in range(len(copy))], num_workers=1,
        multiprocessing_context="spawn",
    )  # fmt: skip
    ours = batches_of(source, 0)
    theirs = [chunk for chunks in loader for chunk in chunks]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(ours, theirs, strict=True))


def test_epochs_and_seeds_draw_differently(faces: FaceRows) -> None:
    def drawn(seed: int, epoch: int) -> torch.Tensor:
        source = BatchSource(faces, 65, seed=seed, shuffle=True, augmentation=AUGMENTATION)
        return batches_of(source, 0, epoch)[0][0].float()

    assert not torch.equal(drawn(1, 0), drawn(1, 1))
    assert not torch.equal(drawn(1, 0), drawn(2, 0))


def test_every_face_once_an_epoch_in_nearly_equal_batches(faces: FaceRows) -> None:
    source = BatchSource(faces, 16, shuffle=True)
    assert sorted(source.order(0)) == list(range(len(faces)))
    sizes = [sum(len(labels) for _, labels in source[(0, i)]) for i in range(len(source))]
    assert sum(sizes) == len(faces)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 16


def test_balanced_mixing_draws_as_many_from_each_dataset(faces: FaceRows) -> None:
    order = BatchSource(faces, 16, shuffle=True, mixing="balanced").order(0)
    drawn = np.bincount(faces.source[order])
    assert abs(drawn[0] - drawn[1]) <= 1
    assert len(order) == len(faces)


def test_a_batch_larger_than_the_data_and_more_workers_than_batches(faces: FaceRows) -> None:
    source = BatchSource(faces, 1000)
    assert len(source) == 1
    assert sum(len(labels) for _, labels in batches_of(source, 8, 0)) == len(faces)


@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_processes_are_the_batch_picture_by_picture(faces: FaceRows, processes: int) -> None:
    """Augmented as in the whole batch, wherever in it they stand and whichever pack they come from."""
    source = BatchSource(faces, 16, seed=5, shuffle=True, augmentation=AUGMENTATION)
    shares = [replace(source, share=(number, processes)) for number in range(processes)]
    for number in range(len(source)):
        whole = [(pixels.numpy(), label) for part in source[2, number] for pixels, label in zip(*part, strict=True)]
        parts = [
            (pixels.numpy(), label)
            for share in shares
            for part in share[2, number]
            for pixels, label in zip(*part, strict=True)
        ]
        assert len(whole) == len(parts) == source.batch_length(number)
        assert all(np.array_equal(a, b) and one == two for (a, one), (b, two) in zip(whole, parts, strict=True))
        positions = [share.positions(2, number) for share in shares]
        assert np.concatenate(positions).tolist() == source.positions(2, number).tolist()


def test_weights_stand_in_the_order_of_their_batch(faces: FaceRows) -> None:
    weighted = faces.weighted({faces.sample_ids[3], faces.sample_ids[-1]}, 0.25)
    assert sorted(weighted.weights.tolist())[:3] == [0.25, 0.25, 1]
    assert faces.weight is None and FaceRows.join([faces, faces]).weight is None
    joined = FaceRows.join([faces, weighted]).take(np.array([3, len(faces) + 3]))
    assert joined.weights.tolist() == [1, 0.25]
    source = BatchSource(weighted, 4, seed=1, shuffle=True)
    marked = weighted.label[weighted.weights < 1]
    seen = []
    for number in range(len(source)):
        labels = np.concatenate([labels.numpy() for _, labels in source[(2, number)]])
        weights = weighted.weights[source.positions(2, number)]
        seen += labels[weights < 1].tolist()
    assert sorted(seen) == sorted(marked.tolist())


def test_network_input_enlarges_each_pack_and_normalises(faces: FaceRows) -> None:
    source = BatchSource(faces, 100)
    expected = NetworkInput(24, 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    pixels, labels = to_network_input(source[(0, 0)], expected, torch.device("cpu"))
    assert pixels.shape == (65, 3, 24, 24)
    assert labels.tolist() == faces.label.tolist()
    gray = pixels * torch.tensor(expected.std).view(3, 1, 1) + torch.tensor(expected.mean).view(3, 1, 1)
    assert torch.allclose(gray[:, 0], gray[:, 2], atol=1e-5)
    packed = faces.packs[0].open()[0].mean() / 255
    assert abs(float(gray[0].mean()) - packed) < 0.03


def test_colour_becomes_gray_as_pillow_does_it() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    chunk = (torch.from_numpy(colour.transpose(2, 0, 1).copy())[None], torch.zeros(1, dtype=torch.long))
    pixels, _ = to_network_input([chunk], NetworkInput(6, 1, (0.0,), (1.0,)), torch.device("cpu"))
    gray = np.asarray(Image.fromarray(colour).convert("L"), dtype=float)
    assert np.abs(pixels[0, 0].numpy() * 255 - gray).max() <= 1


def test_workers_for_auto() -> None:
    assert resolve_workers("auto", "cpu", 2) == 0
    assert resolve_workers("auto", "cuda", 16) == 8
    assert resolve_workers(3, "cpu", 2) == 3
