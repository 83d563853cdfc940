"""The figures' manifest: which figures are there, and for each the words about it and where it belongs.

`cache/figures.json`, `cache/picture_figures.json` (figures with faces) and `cache/live_figures.json` (while runs go on)
map a figure's path under the output folder to

| field | meaning |
|---|---|
| section | where it belongs in the report, one of SECTIONS |
| caption | what to see, in sentences |
| alt | what the picture is, in a sentence, for who does not see it |
| run | folder name of the run it shows; "" for none |
| is_key | True for a figure a reader would miss, drawn by default |
| is_lead | True for the figure of its section (section run: of its run) that tells most |
| fingerprint | changes with everything the figure shows |
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from fer.audit.contact_sheets import SHEETS
from fer.audit.label_noise import SHEET, SHEET_WORDS
from utils import log, read_json

Section = Literal[
    "data", "protocol", "results", "settings", "search", "errors", "training", "cost", "audit", "calibration", "groups",
    "statistics", "run",
]  # fmt: skip
SECTIONS: tuple[Section, ...] = get_args(Section)
MANIFESTS = ("figures.json", "picture_figures.json", "live_figures.json")
FORMATS = ("png", "pdf", "svg")
NOTHING = {"section": "results", "caption": "", "alt": "", "run": "", "is_key": False, "is_lead": False}


def listed_figures(output: Path) -> dict[str, dict[str, Any]]:
    """Facts of every figure that is there, contact sheets of the audit among them, by its path under `output`."""
    found = _contact_sheets(output)
    for name in MANIFESTS:
        found |= read_manifest(output / "cache" / name)
    return {path: facts for path, facts in found.items() if (output / path).is_file()}


def _contact_sheets(output: Path) -> dict[str, dict[str, Any]]:
    """Facts of the sheets that fer/audit/ draws (contact_sheets.py, label_noise.py); the first that is there leads."""
    folder = output / "audit"
    words = {f"{name}.png": words for name, words in SHEETS.items() if (folder / f"{name}.png").is_file()}
    words |= dict.fromkeys(sorted(path.name for path in folder.glob(f"*{SHEET}")), SHEET_WORDS)
    return {
        f"audit/{name}": NOTHING
        | {"section": "audit", "caption": caption, "alt": alt, "fingerprint": ""}
        | {"is_key": place == 0, "is_lead": place == 0}
        for place, (name, (_, caption, alt)) in enumerate(words.items())
    }


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Facts of each figure drawn so far, by its path under the output folder; {} where there is no such file.

    The file may come from elsewhere, and what it lists can be removed: only figures below the output folder count.
    """
    if not path.is_file():
        return {}
    try:
        listed = {str(name): _facts(facts) for name, facts in dict(read_json(path)).items()}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read (%s); every figure is drawn again.", path, error)
        return {}
    foreign = [name for name in listed if not is_figure_path(name)]
    if foreign:
        log.warning("%s lists %r, which is no figure of this study; it is left alone.", path, foreign[0])
    return {name: listed[name] for name in listed if name not in foreign}


def _facts(stored: Any) -> dict[str, Any]:
    """Facts as stored; a text alone is the fingerprint, all that was stored before there were captions."""
    facts = NOTHING | (stored if isinstance(stored, dict) else {})
    return facts | {"fingerprint": str(stored.get("fingerprint", "") if isinstance(stored, dict) else stored)}


def is_figure_path(name: str) -> bool:
    """True for the relative path of a picture that leads out of no folder, on any system."""
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and not set(name) & set("\\:") and not name.startswith("/")
    return plain and ".." not in parts and name.endswith(tuple(f".{kind}" for kind in FORMATS))
