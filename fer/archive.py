"""A study as one file, without pictures and weights: enough to make every table, figure and the report again."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from fer.study_files import read_study
from utils import InputError, atomic_path

# Below the output folder. Never: weights, caches, figures and contact sheets, which show people or can be redrawn.
KEPT = (
    "study.json", "*.csv", "*.json", "tables/*", "samples/*.csv", "samples/*.json", "audit/*.csv", "audit/*.json",
    "statistics/*",
)  # fmt: skip
KEPT_OF_RUN = ("run.json", "history.csv", "failed.txt", "predictions/*.npz")


def export_study(output: Path, target: Path) -> int:
    """Write config, samples tables, runs, predictions, histories and tables of the present plan to `target` (.zip).

    Returns the number of files. Raises InputError when there is no study, or `target` is no .zip file.
    """
    if target.suffix != ".zip":
        raise InputError(f"--export {target}: give a file that ends in .zip.")
    study = read_study(output)
    files = {path for pattern in KEPT for path in output.glob(pattern) if path.is_file()}
    for name in study.planned:
        folder = output / "saved_models" / name
        files |= {path for pattern in KEPT_OF_RUN for path in folder.glob(pattern)}
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.write(path, path.relative_to(output).as_posix())
    return len(files)


def unpack_study(source: Path, folder: Path) -> Path:
    """Unpack an exported study into `folder`, which must not hold one already; returns the folder.

    Raises InputError when it does, or `source` is no archive of a study.
    """
    if (folder / "study.json").exists():
        raise InputError(f"{folder} holds a study already. Remove it, or report from it: --report {folder}")
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
            strange = [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
            if "study.json" not in names or strange:
                raise InputError(f"{source} is not an exported study: {strange[:1] or 'it has no study.json'}.")
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{source} cannot be unpacked: {error}.") from error
    return folder
