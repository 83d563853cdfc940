"""A study as one file, without pictures and weights: enough to make every table, figure and the report again."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from fer.results.study_files import read_grid, read_study
from utils import InputError, atomic_path, file_fingerprint, log

# Below the output folder. Never: weights, caches, figures and contact sheets, which show people or can be redrawn.
KEPT = (
    "study.json", "*.csv", "*.json", "tables/*", "samples/*.csv", "samples/*.json", "audit/*.csv", "audit/*.json",
    "statistics/*", "search/*.csv", "search/*.json",
)  # fmt: skip
KEPT_OF_RUN = ("run.json", "history.csv", "failed.txt", "predictions/*.npz")
# Limits of an archive that is unpacked, far above any study's: text of ours shrinks to a tenth at most times.
MOST_FILES, MOST_BYTES, MOST_RATIO = 100_000, 4 << 30, 50
SMALL = 10 << 20  # bytes that the ratio is not asked of
ENCRYPTED = 0x1  # bit of a ZIP entry's flags (PKWARE's APPNOTE 4.4.4)
READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def export_study(output: Path, target: Path) -> int:
    """Write config, samples tables, runs, predictions, histories and tables of the present plan to `target` (.zip).

    Returns the number of files. Raises InputError when there is no study, or `target` is no .zip file.
    """
    if target.suffix.lower() != ".zip":
        raise InputError(f"--export {target}: give a file that ends in .zip.")
    study = read_study(output)
    files = {path for pattern in KEPT for path in output.glob(pattern) if path.is_file()}
    grid = read_grid(output)
    for name in dict.fromkeys([*study.planned, *(grid.study.planned if grid else ())]):
        folder = output / "saved_models" / name
        files |= {path for pattern in KEPT_OF_RUN for path in folder.glob(pattern)}
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.write(path, path.relative_to(output).as_posix())
    return len(files)


def unpacked(source: Path, parent: Path) -> Path:
    """The study in the file `source`, unpacked below `parent` under its name and content, once.

    Raises InputError where `source` is no archive of a study.
    """
    folder = parent / f"{source.stem}__{file_fingerprint(source, 8)}"
    if not (folder / "study.json").is_file():
        unpack_study(source, folder)
        log.info("unpacked to %s", folder)
    return folder


def unpack_study(source: Path, folder: Path) -> Path:
    """Unpack an exported study into `folder`, which must be empty or not there; returns the folder.

    The archive may come from anywhere and is read as data: of its entries only those that `export_study` writes are
    unpacked, below `folder`, all of them or none. Raises InputError when the folder holds something, or `source` is
    no archive of a study, is damaged or encrypted, or would be larger than any study.
    """
    if folder.exists() and any(folder.iterdir()):
        what = "holds a study already" if (folder / "study.json").exists() else "is not empty"
        raise InputError(f"{folder} {what}. Remove it, or report from it: --report {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=folder.parent) as unfinished:
        try:
            with zipfile.ZipFile(source) as archive:
                for entry in _entries_of(archive, source):
                    _write_entry(archive, entry, Path(unfinished) / "study" / entry.filename)
        except READ_ERRORS as error:
            raise InputError(f"{source} cannot be unpacked: {type(error).__name__}: {error}.") from error
        if folder.exists():
            folder.rmdir()
        (Path(unfinished) / "study").rename(folder)
    return folder


def _entries_of(archive: zipfile.ZipFile, source: Path) -> list[zipfile.ZipInfo]:
    """The entries to unpack. Raises InputError, before anything is written, saying what is wrong with the archive."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    kept = [entry for entry in entries if _is_kept(entry.filename)]
    problem = next((said for entry in entries if (said := _problem_of(entry))), "") or _problem_of_all(kept)
    if problem:
        raise InputError(f"{source} is not an exported study: {problem}. Nothing was unpacked.")
    if len(kept) < len(entries):
        log.warning("%s: %d files that no study exports are not unpacked", source, len(entries) - len(kept))
    return kept


def _problem_of(entry: zipfile.ZipInfo) -> str:
    parts = PurePosixPath(entry.orig_filename).parts
    if ".." in parts or entry.orig_filename.startswith("/") or set(entry.orig_filename) & set("\\:\0"):
        return f"{entry.orig_filename!r} would lie outside the folder"
    if entry.flag_bits & ENCRYPTED:
        return f"{entry.filename} is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{entry.filename} is compressed by method {entry.compress_type}; only stored and deflated are read"
    return ""


def _problem_of_all(entries: list[zipfile.ZipInfo]) -> str:
    names = [entry.filename.lower() for entry in entries]
    unpacked, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if "study.json" not in names:
        return "it has no study.json"
    if len(set(names)) < len(names):
        return "it holds a file twice"
    if len(names) > MOST_FILES:
        return f"it holds {len(names):,} files; {MOST_FILES:,} are the limit"
    if unpacked > MOST_BYTES or unpacked > SMALL + MOST_RATIO * packed:
        return f"its {packed / 1e6:.1f} MB would become {unpacked / 1e6:,.0f} MB"
    return ""


def _is_kept(name: str) -> bool:
    """Whether `export_study` writes a file of this name."""
    patterns = [*KEPT, *(f"saved_models/*/{pattern}" for pattern in KEPT_OF_RUN)]
    parts = name.split("/")
    return any(
        len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
        for wanted in (pattern.split("/") for pattern in patterns)
    )


def _write_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, path.open("xb") as plain:
        shutil.copyfileobj(packed, plain)
