"""Packed images and batches: from packs on disk (fer/faces/packs.py) to the float batch a network receives.

Training and evaluation gather rows from packs, augment at pack size in the worker, and send uint8; enlarging and
normalising happen on the device.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fer.faces.augmentation import augment_images, make_transform
from fer.faces.class_shares import even_chances
from fer.faces.packs import Pack, PackPixels
from fer.machine.processes import share_of
from utils import log

if TYPE_CHECKING:
    import torch

# Torch then asks Linux for 2-MB pages where a tensor is large. Without them a float batch of 40 MB at 224 px is
# 10,000 page faults, four times the cost of the arithmetic done on it. Read by torch at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


# ---------------------------------------------------------------- rows drawn from several packs


@dataclass(frozen=True)
class FaceRows:
    """Faces to train or evaluate on, gathered from one or more packs.

    `packs`; then per face: `pack` (index in packs), `row` (row in that pack), `label`, `source`
    (number of the dataset in a combined run), all int64 [N]; `sample_ids` is a list of N names; `weight` float32 [N]:
    what a face's loss is multiplied by, None where all count the same. `shares`: what a training aims at in place of
    `label`, float32 [N, classes], rows summing to one; None: labels.
    """

    packs: tuple[Pack, ...]
    pack: np.ndarray
    row: np.ndarray
    label: np.ndarray
    source: np.ndarray
    sample_ids: tuple[str, ...]
    weight: np.ndarray | None = None
    shares: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def weights(self) -> np.ndarray:
        """float32 [N]: `weight`, or ones."""
        return np.ones(len(self), dtype=np.float32) if self.weight is None else self.weight

    def weighted(self, sample_ids: Collection[str], weight: float) -> FaceRows:
        """The same faces, those of `sample_ids` with this weight."""
        chosen = np.fromiter((name in sample_ids for name in self.sample_ids), dtype=bool, count=len(self))
        return replace(self, weight=np.where(chosen, np.float32(weight), self.weights))

    def take(self, positions: np.ndarray) -> FaceRows:
        """The faces at `positions`, in that order."""
        ids = tuple(self.sample_ids[i] for i in positions)
        pack, row, label, source = (column[positions] for column in (self.pack, self.row, self.label, self.source))
        weight = None if self.weight is None else self.weight[positions]
        shares = None if self.shares is None else self.shares[positions]
        return FaceRows(self.packs, pack, row, label, source, ids, weight, shares)

    @staticmethod
    def from_pack(pack: Pack, rows: np.ndarray, labels: np.ndarray, sample_ids: Sequence[str]) -> FaceRows:
        """Faces `rows` of a single pack."""
        zeros = np.zeros(len(rows), dtype=np.int64)
        return FaceRows((pack,), zeros, rows.astype(np.int64), labels.astype(np.int64), zeros, tuple(sample_ids))

    @staticmethod
    def join(parts: Sequence[FaceRows], one_source: bool = False) -> FaceRows:
        """Several tables after one another; each is its own source unless `one_source`."""
        packs: list[Pack] = []
        shifted, sources = [], []
        any_weighs = any(part.weight is not None for part in parts)
        for number, part in enumerate(parts):
            shifted.append(part.pack + len(packs))
            packs.extend(part.packs)
            sources.append(np.full(len(part), 0 if one_source else number, dtype=np.int64))
        return FaceRows(
            tuple(packs),
            np.concatenate(shifted),
            np.concatenate([part.row for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate(sources),
            tuple(name for part in parts for name in part.sample_ids),
            np.concatenate([part.weights for part in parts]) if any_weighs else None,
            _shares_of(parts),
        )


def _shares_of(parts: Sequence[FaceRows]) -> np.ndarray | None:
    """The shares of all parts; of one without, all of its label. None where none has any."""
    classes = next((part.shares.shape[1] for part in parts if part.shares is not None), None)
    if classes is None:
        return None
    sure = np.eye(classes, dtype=np.float32)
    return np.concatenate([sure[part.label] if part.shares is None else part.shares for part in parts])


# ---------------------------------------------------------------- batches

# Workers hand batches over through it (Linux); each has two ahead, one is in use, and one being written.
SHARED_MEMORY = Path("/dev/shm")
BATCHES_UNDER_WAY = 4

# Pixels uint8 [B, C, S, S], and labels int64 [B] or shares of the classes float32 [B, classes]: one kind in a batch.
Chunk = tuple["torch.Tensor", "torch.Tensor"]


@dataclass
class BatchSource:
    """Map-style dataset whose items are whole batches, named by (epoch, batch number).

    A batch is a list of (pixels uint8 [B, C, S, S], labels int64 [B] or shares), one entry per picture shape,
    so that every picture is enlarged once, from its own pack size. Order and augmentation draws
    depend on (seed, epoch, batch number) alone, never on the number of workers. With `even_classes` as many rows as
    before are drawn with replacement, every class of a dataset equally likely.
    """

    faces: FaceRows
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    mixing: Literal["natural", "balanced"] = "natural"
    even_classes: bool = False
    augmentation: dict[str, Any] | None = None
    share: tuple[int, int] = (0, 1)  # this process, of so many: its part of every batch is gathered and augmented here
    _opened: dict[int, PackPixels] = field(default_factory=dict, repr=False)
    _order: tuple[int, np.ndarray] | None = field(default=None, repr=False)
    _transforms: dict[int, Any] = field(default_factory=dict, repr=False)  # by side of the pictures

    def __len__(self) -> int:
        return -(-len(self.faces) // self.batch_size)

    @property
    def batch_bytes(self) -> int:
        """Bytes of the largest batch there can be."""
        of_a_face = max(int(np.prod(pack.shape[1:])) for pack in self.faces.packs) + self._targets[:1].nbytes
        return min(self.batch_size, len(self.faces)) * of_a_face

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}, "_order": None, "_transforms": {}}

    def __getitem__(self, place: tuple[int, int]) -> list[Chunk]:
        import torch

        epoch, number = place
        own = share_of(self.batch_length(number), *self.share)
        positions = self._whole_batch(epoch, number)
        key = self.faces.pack[positions]
        chunks = []
        for index in np.unique(key[own]):
            start, stop = np.searchsorted(key, [index, index + 1])  # of the pictures of this pack in the whole batch
            first = max(own.start, start)
            part = positions[first : min(own.stop, stop)]
            pixels = self._gather(int(index), self.faces.row[part])
            if self.augmentation:
                pixels = self._augment(pixels, (self.seed, epoch, number, int(index)), first - start)
            batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
            chunks.append((batch, torch.from_numpy(self._targets[part])))
        return chunks

    def batch_length(self, number: int) -> int:
        """Pictures of a batch, over all processes."""
        of_batch = share_of(len(self.faces), number, len(self))
        return of_batch.stop - of_batch.start

    def positions(self, epoch: int, number: int) -> np.ndarray:
        """Positions of this process's share of a batch in the order its chunks hold them, int64 [B]."""
        return self._whole_batch(epoch, number)[share_of(self.batch_length(number), *self.share)]

    def _whole_batch(self, epoch: int, number: int) -> np.ndarray:
        """Positions of a batch, pack by pack, int64 [B]."""
        drawn = np.array_split(self.order(epoch), len(self))[number]
        return drawn[np.argsort(self.faces.pack[drawn], kind="stable")]

    @property
    def _targets(self) -> np.ndarray:
        return self.faces.label if self.faces.shares is None else self.faces.shares

    def order(self, epoch: int) -> np.ndarray:
        """Positions of one epoch in the order they are drawn, int64 [N]."""
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._draw_order(epoch))
        return self._order[1]

    def _draw_order(self, epoch: int) -> np.ndarray:
        count = len(self.faces)
        if not self.shuffle:
            return np.arange(count)
        draws = np.random.default_rng((self.seed, epoch))
        if self.mixing == "natural" and not self.even_classes:
            return draws.permutation(count)
        own = [np.flatnonzero(self.faces.source == source) for source in np.unique(self.faces.source)]
        even = np.diff(np.linspace(0, count, len(own) + 1).astype(int)).tolist()
        quotas = even if self.mixing == "balanced" else [len(rows) for rows in own]
        parts = [self._drawn(rows, quota, draws) for rows, quota in zip(own, quotas, strict=True)]
        return draws.permutation(np.concatenate(parts))

    def _drawn(self, rows: np.ndarray, quota: int, draws: np.random.Generator) -> np.ndarray:
        """`quota` of `rows`: each in turn, or as chance has it where classes are to be equally likely."""
        if self.even_classes:
            return draws.choice(rows, quota, p=even_chances(self.faces.label[rows]))
        rounds = [draws.permutation(rows) for _ in range(-(-quota // len(rows)))]
        return np.concatenate(rounds)[:quota]

    def _gather(self, index: int, rows: np.ndarray) -> np.ndarray:
        if index not in self._opened:
            self._opened[index] = self.faces.packs[index].open()
        return self._opened[index][rows]

    def _augment(self, pixels: np.ndarray, key: tuple[int, ...], first: int) -> np.ndarray:
        side = pixels.shape[1]
        if side not in self._transforms:
            self._transforms[side] = make_transform(self.augmentation or {}, side)
        return augment_images(pixels, self._transforms[side], key, first)


class EpochSampler:
    """Yields (epoch, batch number); set `epoch` before iterating. Lets workers persist across epochs."""

    def __init__(self, batches: int):
        self.batches, self.epoch = batches, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, number) for number in range(self.batches))

    def __len__(self) -> int:
        return self.batches


def make_loader(source: BatchSource, workers: int, pin_memory: bool = False) -> torch.utils.data.DataLoader:
    """A DataLoader over whole batches. `loader.sampler.epoch` chooses the epoch.

    `workers` beyond the number of batches would only cost memory and are not started; nor are those whose
    batches shared memory has no room for, with a warning. The batches are the same with any number of them.
    """
    import torch
    from torch.utils.data import DataLoader

    workers = _workers_that_fit(source, min(workers, len(source)))
    return DataLoader(
        source,  # type: ignore[arg-type]
        batch_size=None,
        sampler=EpochSampler(len(source)),
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        # Starting over takes a number from it, with workers only the first time; dropout must not notice.
        generator=torch.Generator(),
    )


def _workers_that_fit(source: BatchSource, workers: int) -> int:
    """As many of `workers` as /dev/shm has room for; a worker that finds none there is killed by the system."""
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    fitting = min(workers, free // (BATCHES_UNDER_WAY * source.batch_bytes))
    if fitting < workers:
        log.warning(
            "%s has %.1f MB free and a batch takes %.1f MB: %d of %d workers prepare pictures; results are the same. "
            "In Docker, more room is --shm-size=1g.",
            SHARED_MEMORY, free / 1e6, source.batch_bytes / 1e6, fitting, workers,
        )  # fmt: skip
    return fitting


def _start_worker(_: int) -> None:
    """One thread per worker: image and BLAS threads under workers slow everything."""
    import cv2
    import torch

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def resolve_workers(workers: int | str, device_type: str, cores: int) -> int:
    """Worker processes for "auto": beside a GPU up to 8; beside CPU training none, they share its cores."""
    if workers != "auto":
        return int(workers)
    return min(8, max(cores - 1, 1)) if device_type == "cuda" else 0


# ---------------------------------------------------------------- on the device


@dataclass(frozen=True)
class NetworkInput:
    """What a network expects: side in pixels, channels (1 or 3), mean and std per channel for [0, 1] pixels.

    `interpolation`: how pictures of another side are brought to `size`, as torch names it.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"


def to_network_input(
    chunks: Sequence[Chunk], expected: NetworkInput, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Enlarge and normalise a batch on the device.

    Returns float32 [B, channels, size, size], and labels int64 [B] or shares of the classes as the chunks hold them.
    """
    import torch

    labels = torch.cat([labels for _, labels in chunks]).to(device, non_blocking=True)
    return normalised(enlarged(chunks, expected, device), expected), labels


def enlarged(chunks: Sequence[Chunk], expected: NetworkInput, device: torch.device) -> torch.Tensor:
    """A batch on the device at network size, float32 [B, 1 or `channels`, size, size] in 0..255, new memory.

    One channel where every picture of the batch is gray, also where the network expects three.
    """
    import torch

    parts = [_enlarged(chunk.to(device, non_blocking=True), expected) for chunk, _ in chunks]
    planes = max(part.shape[1] for part in parts)
    return parts[0] if len(parts) == 1 else torch.cat([part.expand(-1, planes, -1, -1) for part in parts])


def normalised(pixels: torch.Tensor, expected: NetworkInput) -> torch.Tensor:
    """What the network receives, float32 [B, channels, size, size]; overwrites `pixels` where it has as many channels.

    In place, since every further batch of floats is new memory, which costs more than the arithmetic.
    """
    import torch

    mean = torch.tensor(expected.mean, device=pixels.device).view(1, -1, 1, 1) * 255
    std = torch.tensor(expected.std, device=pixels.device).view(1, -1, 1, 1) * 255
    if pixels.shape[1] == expected.channels:
        return pixels.sub_(mean).div_(std)
    return (pixels - mean).div_(std)


def _enlarged(pixels: torch.Tensor, expected: NetworkInput) -> torch.Tensor:
    """float32 [B, channels, size, size] in 0..255, never the memory of `pixels`; one channel where the picture has one.

    Gray by the ITU-R 601 weights Pillow uses.
    """
    import torch
    from torch.nn.functional import interpolate

    enlarge = pixels.shape[-1] < expected.size
    # Bilinear enlarging of colour by the CPU takes two thirds of the time when channels lie together; same bits.
    together = enlarge and pixels.shape[1] == 3 and pixels.device.type == "cpu"
    memory = torch.channels_last if together else torch.preserve_format
    pixels = pixels.to(torch.float32, memory_format=memory, copy=True)
    if pixels.shape[1] == 3 and expected.channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
        pixels = (pixels * weights).sum(1, keepdim=True)
    if pixels.shape[-1] != expected.size:
        pixels = interpolate(pixels, (expected.size, expected.size), mode=expected.interpolation, antialias=not enlarge)
    return pixels
