"""What a dataset says about the people in its pictures: read as shipped, never guessed.

`samples/<name>_attributes.csv`: sample_id, and one text column an attribute ("" where the dataset says nothing).
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from fer.data.samples import read_samples
from utils import InputError, write_text

# RAF-DB, `<stem>_manu_attri.txt`: five lines with a landmark each, then these three, one number a line. Taken
# from descriptions of the dataset, not seen here: so whatever differs is refused.
RAFDB_FOLDERS = ("Annotation/manual", "basic/Annotation/manual")
RAFDB_SUFFIX = "_manu_attri.txt"
RAFDB_LANDMARKS = 5
RAFDB_ATTRIBUTES = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
SHOWN_PROBLEMS = 5


def read_rafdb_attributes(root: Path) -> pd.DataFrame:
    """Gender, race and age of RAF-DB's original layout: columns stem ("train_00001"), gender, race, age, in words.

    Raises InputError when there is no such folder or file, or a file looks otherwise than expected.
    """
    folder = _rafdb_folder(root)
    paths = sorted(folder.glob(f"*{RAFDB_SUFFIX}")) if folder else []
    if not paths:
        wanted = f"{RAFDB_FOLDERS[0]}/<picture>{RAFDB_SUFFIX}"
        raise InputError(f"{root}: no {wanted}. RAF-DB's original archive holds them; the Kaggle copy does not.")
    rows, problems = [], []
    for path in paths:
        try:
            rows.append(_read_rafdb_file(path))
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
    if problems:
        more = [f"… and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise InputError([*problems[:SHOWN_PROBLEMS], *more])
    return pd.DataFrame(rows, columns=["stem", *RAFDB_ATTRIBUTES])


def _rafdb_folder(root: Path) -> Path | None:
    return next((root / name for name in RAFDB_FOLDERS if (root / name).is_dir()), None)


def _read_rafdb_file(path: Path) -> list[str]:
    """Stem and the three attributes. Raises ValueError saying what was expected and what was found."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    expected = RAFDB_LANDMARKS + len(RAFDB_ATTRIBUTES)
    if len(lines) != expected or any(len(line.split()) != 2 for line in lines[:RAFDB_LANDMARKS]):
        raise ValueError(f"expected {RAFDB_LANDMARKS} lines 'x y', then gender, race, age; found {len(lines)} lines")
    words = [path.name.removesuffix(RAFDB_SUFFIX)]
    for line, (name, meanings) in zip(lines[RAFDB_LANDMARKS:], RAFDB_ATTRIBUTES.items(), strict=True):
        if not (line.strip().isdecimal() and int(line) < len(meanings)):
            raise ValueError(f"{name} = {line.strip()!r}, expected 0 to {len(meanings) - 1} ({', '.join(meanings)})")
        words.append(meanings[int(line)])
    return words


def write_attributes(output: Path, name: str, root: Path, samples: pd.DataFrame) -> Path | None:
    """Write samples/<name>_attributes.csv for the rows of `samples` (sample_id, path); None where none are shipped.

    Only RAF-DB's original layout is known to ship any. A picture without a file has empty texts. Left as it is
    when it is newer than the folder with all in it and lists the same rows. Raises InputError when a file looks
    otherwise. A table that the dataset no longer bears out is removed first, so that no groups are made of it.
    """
    folder = _rafdb_folder(root)
    path = output / "samples" / f"{name}_attributes.csv"
    made = path.stat().st_mtime_ns if path.is_file() else 0
    if folder is not None and made >= _changed(folder) and _lists(path, samples["sample_id"]):
        return path
    path.unlink(missing_ok=True)
    if folder is None:
        return None
    stems = samples["path"].map(_stem)
    table = read_rafdb_attributes(root).set_index("stem").reindex(stems).fillna("")
    table.insert(0, "sample_id", samples["sample_id"].to_numpy())
    write_text(path, table.to_csv(index=False))
    return path


def _changed(folder: Path) -> int:
    """When a folder or a file in it was changed last, in nanoseconds."""
    with os.scandir(folder) as entries:
        return max(folder.stat().st_mtime_ns, *(entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries), 0)


def _lists(path: Path, sample_ids: pd.Series) -> bool:
    try:
        return list(read_samples(path)["sample_id"]) == list(sample_ids)
    except (InputError, OSError, ValueError, KeyError):  # damaged: it is made again
        return False


def _stem(path: str) -> str:
    """The name the annotation of a picture goes by: without folder, ending and "_aligned"."""
    return Path(path).stem.removesuffix("_aligned")
