"""What a million faces take: CPU seconds, seconds and peak memory of each stage at three sizes, and how both grow.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--stages read pack] [--keep FOLDER]

The faces are made: random mixtures of what drawn faces differ in, with noise of their own, 32 pixels a side, gray, in
parquet files as a dataset repository ships them; every hundredth is a near copy of another, every hundredth an exact
one. Half of them are an official test set. Predictions of six finished runs are made too, by chance: nothing is
trained. Every stage and size is a process of its own, so that its peak (libraries among it) is its own. "p"
is the exponent between the two largest sizes, CPU time ~ n^p. Aims: p at most 1.1, at most 4 GB, planning and tables
of the finished study at most 60 s at the largest size. With --keep, pictures and what was made of them stay in FOLDER,
and stages can be measured one by one.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import plan_reads
from made_pictures import some_faces, study_of

import main as program
from fer.settings.settings import EMOTIONS, Settings
from utils import log

AIM_EXPONENT, AIM_GB, AIM_SECONDS = 1.1, 4.0, 60.0
FINISHED = ("plan again", "tables")  # what together has AIM_SECONDS
NOTHING = 1.0  # CPU seconds: a stage that takes less has no exponent
SIDE = 32  # pixels
PLANTED = 100  # one picture in so many is a near copy of another, and one an exact copy
FILE_ROWS = 50_000  # of a parquet file


# ---------------------------------------------------------------- made pictures and predictions


def make_pictures(root: Path, count: int) -> None:
    """`count` pictures in parquet files below `root`, and the planted near copies in planted.npy [M, 2] beside it."""
    draws = np.random.default_rng(count)
    faces = some_faces(210, SIDE).reshape(-1, SIDE**2).astype(np.float32)
    mean = faces.mean(0)
    parts = np.linalg.svd(faces - mean, full_matrices=False)[1:]
    root.mkdir(parents=True)
    rows = min(FILE_ROWS, count // 2)
    pairs = [_write_part(root, start, rows, count, mean, *parts, draws) for start in range(0, count, rows)]
    np.save(root.with_name("planted.npy"), np.concatenate(pairs))


def _write_part(
    root: Path, start: int, rows: int, count: int, mean: np.ndarray, scale: np.ndarray, axes: np.ndarray,
    draws: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """One file, of the official test set in the first half; returns the planted pairs, row numbers of all files."""
    import pyarrow as pa
    from pyarrow import parquet

    mixed = draws.normal(0, 1.5, (rows, len(scale))).astype(np.float32) * scale / np.sqrt(len(scale))
    pictures = (mixed @ axes + mean).reshape(-1, SIDE, SIDE) + _texture(rows, draws)
    copies = np.arange(rows - rows // PLANTED, rows)
    sources = draws.permutation(rows - 2 * len(copies))[: 2 * len(copies)]
    near, same = sources[: len(copies)], sources[len(copies) :]
    pictures[copies] = 0.85 * pictures[near, :, ::-1] + 15 + draws.normal(0, 3, (len(copies), SIDE, SIDE))
    pictures[copies - len(copies)] = pictures[same]
    pixels = np.clip(pictures, 0, 255).astype(np.uint8)
    labels = [EMOTIONS[number] for number in draws.choice(len(EMOTIONS), rows, p=_shares())]
    head = b"P5 %d %d 255\n" % (SIDE, SIDE)  # PGM: nothing to encode
    table = pa.table({"image": [head + picture.tobytes() for picture in pixels], "label": labels})
    split = "test" if start < count / 2 else "train"  # so that rows are sorted, and packed, in this order
    parquet.write_table(table, root / f"{split}-{start:09d}.parquet", row_group_size=2000)
    return np.stack([near, copies], axis=1) + start


def _texture(count: int, draws: np.random.Generator) -> np.ndarray:
    """Noise that falls with frequency, as detail of natural pictures does; float32 [count, SIDE, SIDE], spread 25."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]).astype(np.float32)
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(draws.standard_normal((count, SIDE, SIDE), dtype=np.float32))
    noise = np.fft.irfft2(white / frequency, s=(SIDE, SIDE)).astype(np.float32)
    return noise * (25 / noise.std())


def _shares() -> np.ndarray:
    """Skewed, as the classes of real sets are."""
    shares = 0.75 ** np.arange(len(EMOTIONS))
    return shares / shares.sum()


def settings_in(folder: Path) -> Settings:
    """The study that is measured: one set of faces, two networks, three seeds."""
    network = {"batch_size": 64, "weights": None, "input_size": SIDE, "channels": 1}
    return study_of(
        folder / "faces", folder / "out", "parquet", SIDE, TTA=("none",), AMP="off", SEEDS=(1, 2, 3),
        MODEL_CONFIG={"tiny_plain": network, "tiny_residual": network},
    )  # fmt: skip


# ---------------------------------------------------------------- the stages


def read(settings: Settings) -> None:
    """Every picture decoded once: rows, splits, exact copies, the tables in samples/."""
    program.open_study(settings)


def pack(settings: Settings) -> Any:
    """All pictures in a file of pixels, decoded once more."""
    from fer.study.variants import scored_faces

    data = program.open_study(settings).datasets["measured"]
    return scored_faces(data, "test", "raw", SIDE, settings)


def near_copies(settings: Settings) -> float:
    """Found among all pictures; returns the share of the planted ones among them, and says it in the log."""
    from fer.audit.near_copies import find_near_copies, make_thumbnails

    pixels = pack(settings).packs[0].open()
    found = find_near_copies(make_thumbnails(pixels))
    pairs = set(zip(found["left"].tolist(), found["right"].tolist(), strict=True))
    planted = np.load(settings.resolve(settings.datasets["measured"].path).with_name("planted.npy")).tolist()
    hit = sum(tuple(pair) in pairs for pair in planted)
    log.info("near copies: %d pairs, %d of %d planted ones", len(pairs), hit, len(planted))
    return hit / len(planted)


def audit(settings: Settings) -> None:
    """The rest of the audit: quality of each picture, exact copies, class mixes; written, without contact sheets."""
    from unittest import mock

    import fer.audit.audit as audits

    none = audits.find_near_copies(np.zeros((0, SIDE, SIDE), np.uint8))
    datasets = program.open_study(settings).datasets
    with mock.patch.object(audits, "find_near_copies", return_value=none):
        audits.write_audit(audits.audit_datasets(datasets, settings), settings.output_path)


def plan(settings: Settings) -> None:
    """What --plan does before anything is trained; rows are read back from samples/."""
    plan_reads.plan(settings)


def batches(settings: Settings) -> None:
    """The faces of a training gathered from the pack: an epoch drawn, its first hundred batches."""
    from data_loader import BatchSource
    from fer.study.variants import training_faces

    study = program.open_study(settings)
    run = program.planned_runs(study)[0].run
    train, _, _ = training_faces(study.datasets, study.training(run.train_on).samples, run, settings)
    source = BatchSource(train, 64, shuffle=True)
    for number in range(min(100, len(source))):
        source[0, number]


def predictions(settings: Settings) -> None:
    """Made ones, of every run of the plan: their keys, their files."""
    plan_reads.make_finished(settings)


def plan_again(settings: Settings) -> None:
    """All that main.py does with a finished study before tables and figures."""
    plan_reads.again(settings)


def tables(settings: Settings) -> None:
    """results.csv, the same per class and of validation rows, and the funnel: every metric computed anew."""
    from fer.results.tables import write_funnel, write_tables

    write_tables(settings.output_path)
    write_funnel(settings.output_path, ["measured"])


def statistics(settings: Settings) -> None:
    """Intervals, tests and comparisons of the finished study."""
    from fer.statistics.comparisons import write_statistics

    write_statistics(settings.output_path)


STAGES: dict[str, Callable[[Settings], Any]] = {
    "read": read, "pack": pack, "near copies": near_copies, "audit": audit, "plan": plan, "batches": batches,
    "predictions": predictions, "plan again": plan_again, "tables": tables, "statistics": statistics,
}  # fmt: skip


# ---------------------------------------------------------------- each in a process of its own


def measure(stage: str, settings: Settings) -> harness.Row:
    """CPU and wall seconds of a stage, and the most memory this process ever held, in GB."""
    _, found = harness.timed(lambda: STAGES[stage](settings))
    return {"cpu": found.cpu, "wall": found.wall, "gb": peak_bytes() / 1e9}


def peak_bytes() -> int:
    """The most memory this process held. Linux counts in ru_maxrss what its parent held when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_new_process(stage: str, folder: Path) -> harness.Row:
    """The same, of a stage that uses what earlier ones left in `folder`."""
    command = [sys.executable, __file__, "--one", stage, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row a stage. `options`: sizes (numbers of pictures), stages (names), keep (a folder, or None)."""
    sizes, found = sorted(options["sizes"]), {stage: [] for stage in options["stages"]}
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            folder = Path(options["keep"] or name) / str(size)
            if not (folder / "planted.npy").is_file():
                make_pictures(folder / "faces", size)
            for stage, rows in found.items():
                rows.append(in_new_process(stage, folder))
                log.info("%s of %d: %s", stage, size, rows[-1])
    lines = [_row(stage, sizes, rows) for stage, rows in found.items()]
    if set(FINISHED) <= found.keys():
        seconds = sum(found[stage][-1]["cpu"] for stage in FINISHED)
        lines.append(
            {"stage": " and ".join(FINISHED), f"{sizes[-1]:,} CPU s": seconds, "reached": seconds <= AIM_SECONDS}
        )
    return lines


def _row(stage: str, sizes: list[int], found: list[harness.Row]) -> harness.Row:
    row: harness.Row = {"stage": stage}
    for size, one in zip(sizes, found, strict=True):
        row |= {f"{size:,} CPU s": one["cpu"], f"{size:,} s": one["wall"], f"{size:,} GB": one["gb"]}
    exponent = math.nan
    if len(sizes) > 1 and found[-1]["cpu"] >= NOTHING:
        exponent = math.log(found[-1]["cpu"] / found[-2]["cpu"]) / math.log(sizes[-1] / sizes[-2])
    return row | {"p": exponent, "reached": not exponent > AIM_EXPONENT and found[-1]["gb"] <= AIM_GB}


def main() -> None:
    """The command; `--one STAGE FOLDER` is how it calls itself for one stage."""
    if sys.argv[1:2] == ["--one"]:
        harness.started("scale")
        print(json.dumps(measure(sys.argv[2], settings_in(Path(sys.argv[3])))))
        return
    title = f"Up to a million faces; aims: CPU time as n^{AIM_EXPONENT}, {AIM_GB:.0f} GB"
    sizes = (10_000, 100_000, 1_000_000)
    harness.command("scale", __doc__, title, run, sizes=sizes, stages=tuple(STAGES), keep=None)


if __name__ == "__main__":
    main()
