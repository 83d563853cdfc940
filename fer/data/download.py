"""`main.py --download NAME`: a dataset into the folder of its row, fetched by Kaggle's or Hugging Face's own client.

Everything happens in `<folder>.partial` beside it: fetched there (an interrupted download goes on where it stopped),
compared with the known counts there, and renamed at the end. So the folder itself is absent or whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from fer.data.readers import Listing, count_differences, need_packages, partial_folder, read_dataset
from fer.layouts.known_datasets import KNOWN_DATASETS
from fer.machine.extras import need_extra
from fer.settings.messages import did_you_mean
from fer.settings.settings import DatasetRow, Settings
from utils import FULL, InputError, free_space, lock_in, log

TIMES_ITS_SIZE = 2.5  # the archive and what it holds lie there together; room for file systems' blocks


def fetch_from_kaggle(name: str, scratch: Path) -> Path:
    """Kaggle's dataset `owner/name` into `scratch`; returns its folder. An archive begun there is gone on with."""
    need_extra("kaggle", "kagglehub")
    os.environ["KAGGLEHUB_CACHE"] = str(scratch / "kaggle")  # its `output_dir` would not go on after an interruption
    os.environ |= {"DISABLE_KAGGLE_CACHE": "true", "DISABLE_COLAB_CACHE": "true"}  # these lie on other disks
    import kagglehub

    return Path(kagglehub.dataset_download(name))


def fetch_from_hugging_face(name: str, scratch: Path) -> Path:
    """The files of Hugging Face's dataset repository `owner/name`, or `owner/name@revision`, into `scratch`.

    Those that are whole are kept.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    folder = scratch / "files"
    return Path(snapshot_download(repository, repo_type="dataset", revision=revision or None, local_dir=folder))


CLIENTS: dict[str, Callable[[str, Path], Path]] = {
    "kaggle": fetch_from_kaggle,
    "huggingface": fetch_from_hugging_face,
}


def source_of(row: DatasetRow) -> str:
    """`client:owner/name` to fetch a row's dataset from; "" where it has to be asked for."""
    known = KNOWN_DATASETS.get(row.layout)
    return row.source or (known.source if known else "")


def download(name: str, row: DatasetRow, root: Path) -> Listing:
    """Fetch the dataset into `root`, which appears when all of it is there and as expected; returns what it holds.

    Raises InputError where the folder is not free, the client fails, or something else arrives than was expected.
    """
    _refuse_taken(name, root)
    need_packages(row.layout)  # to verify what arrives; asked before hours of fetching
    scratch, known = partial_folder(root), KNOWN_DATASETS.get(row.layout)
    client, _, source = source_of(row).partition(":")
    scratch.mkdir(parents=True, exist_ok=True)
    with lock_in(scratch, "download"):
        _refuse_taken(name, root)
        if known and known.megabytes:
            _refuse_small_disk(name, scratch, known.megabytes * 1e6)
        fetched = _fetched(name, client, source, scratch)
        listing = _verified(name, row, fetched, scratch)
        if root.is_dir():
            root.rmdir()  # empty, as was seen above
        for rest in (".cache", ".complete"):  # the clients' own notes
            shutil.rmtree(fetched / rest, ignore_errors=True)
        fetched.replace(root)
    shutil.rmtree(scratch, ignore_errors=True)
    return listing


def steps(name: str, layout: str, root: Path | None) -> list[str]:
    """What to do by hand for a dataset that has to be asked for, line by line; `root` is None where it has no row."""
    known = KNOWN_DATASETS[layout]
    what = (
        "is fetched into the folder of its row, which DATASETS lacks"
        if known.source
        else "is not fetched by this program"
    )
    row = f'{{"path": "datasets/{name}", "layout": "{layout}", "faces": "cropped" or "whole" or "box"}}'
    copies = f'{known.copies}; with what right is unknown. A row with "source": "kaggle:owner/name" fetches one'
    return [
        f"{name}: {known.title} {what}. To get it:",
        f"- {known.page}: {known.ask}. Terms: {known.terms}.",
        *([f"- copies that others have put up: {copies}."] if known.copies else []),
        f"- into {root or 'a folder of its own'}: {known.put}.",
        *([f'- into config.py: DATASETS["{name}"] = {row}'] if root is None else []),
        *([f"- python main.py --download {name} then fetches it."] if known.source else []),
        "- python main.py --check says whether all of it is there.",
    ]  # fmt: skip


def _refuse_taken(name: str, root: Path) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    raise InputError(
        f"{name}: {root} holds something already, which is never overwritten. python main.py --check says what it "
        "is; move it away to fetch the dataset anew."
    )


def _refuse_small_disk(name: str, scratch: Path, size: float) -> None:
    free = free_space(scratch) + sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    if free < TIMES_ITS_SIZE * size:
        raise InputError(
            f"{name}: fetching it takes {TIMES_ITS_SIZE * size / 1e6:,.0f} MB for a while, {free / 1e6:,.0f} MB are "
            f"free at {scratch}. Free some space, or put the dataset's \"path\" on another disk."
        )  # fmt: skip


def _fetched(name: str, client: str, source: str, scratch: Path) -> Path:
    """The folder that the client says is whole."""
    log.info("%s: fetching %s from %s into %s", name, source, client, scratch)
    try:
        return CLIENTS[client](source, scratch)
    except InputError:
        raise
    except Exception as error:  # each client has errors of its own, for the network, accounts, damaged files
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise InputError(
            f"{name}: {source} could not be fetched from {client} ({type(error).__name__}: {error}). What has arrived "
            f"is kept in {scratch}; the same command goes on from there."
        ) from error


def _verified(name: str, row: DatasetRow, fetched: Path, scratch: Path) -> Listing:
    """What was fetched, read as its row says; raises InputError where it is not the whole dataset."""
    problems: list[str] = []
    try:
        listing = read_dataset(name, row.model_copy(update={"min_confidence": 0.0}), fetched)
        problems = _differences(listing)
    except InputError as error:
        problems = error.problems
    if problems:
        raise InputError(
            f"{name}: what was fetched is not the dataset that is known: {'; '.join(problems)}. Nothing was put into "
            f"its place; it lies in {fetched}. Remove {scratch} to fetch it anew."
        )
    return listing


def _differences(listing: Listing) -> list[str]:
    """Where a listing's readable rows differ from the known counts; nothing where none are known."""
    problems = []
    for split, known in (listing.expected_counts or {}).items():
        if wrong := count_differences(listing.samples[listing.samples["split"] == split], known):
            problems.append(f"{split or 'all'}: {', '.join(wrong)}")
    return problems


def download_or_explain(name: str, settings: Settings) -> int:
    """Fetch one dataset into the folder of its row, or say how to ask for it. Returns 0, or 2 where that is to do."""
    row = settings.datasets.get(name)
    if row is None and name not in KNOWN_DATASETS:
        known = sorted({*settings.datasets, *KNOWN_DATASETS})
        raise InputError(f'"{name}" is not a row of DATASETS.{did_you_mean(name, known)} Known: {", ".join(known)}.')
    if row is not None and source_of(row):
        root = settings.resolve(row.path)
        listing = download(name, row, root)
        log.info("%s: %d faces, layout %s, in %s", name, len(listing.samples), listing.layout, root)
        return 0
    if row is not None and row.layout not in KNOWN_DATASETS:
        raise InputError(f'{name}: where to fetch it is not known. Add "source": "kaggle:owner/name" to its row.')
    layout, folder = (name, None) if row is None else (row.layout, settings.resolve(row.path))
    print("\n".join(steps(name, layout, folder)))
    return 2
