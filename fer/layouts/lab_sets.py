"""Sets made in a lab, whose file names tell the person: JAFFE, KDEF, CK+ and CK+48. The person becomes the subject."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fer.layouts.class_names import NAMED_CLASSES, label_of, left_out, numbered
from fer.layouts.emotions import EMOTIONS
from fer.layouts.file_states import file_state
from fer.layouts.folders import Reading, pictures, pictures_below, read_class_folders, visible_folders
from fer.layouts.known_datasets import CK48_CONTEMPT, CK48_COUNTS, JAFFE_COUNTS, with_contempt
from fer.layouts.label_sheets import Place, reject

ROWS = ["path", "label", "subject"]


def _named_pictures(place: Place, pattern: str, codes: Mapping[str, str], example: str) -> tuple[pd.DataFrame, Reading]:
    """Every picture below the base whose name has the groups `subject` and `emotion` (a key of `codes`)."""
    rows, rejected = [], []
    for path in pictures_below(place, place.base):
        found = re.fullmatch(pattern, path.rpartition("/")[2], re.IGNORECASE)
        if found is None:
            rejected.append(reject(f"{place.name}/{path}", path, f"the name is not like {example}"))
        else:
            label = EMOTIONS.index(codes[found["emotion"].upper()])
            rows.append((path, label, found["subject"].upper(), found.groupdict().get("angle", "").upper()))
    return pd.DataFrame(rows, columns=[*ROWS, "angle"]), Reading(pd.DataFrame(columns=ROWS), rejected)


# ---------------------------------------------------------------- JAFFE

JAFFE_CODES = {
    "AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise",
}  # fmt: skip


def read_jaffe(place: Place) -> Reading:
    """`KA.AN1.39.tiff`: person, expression and take, number of the picture; the expression is the posed one."""
    pattern = rf"(?P<subject>[A-Z]{{2}})\.(?P<emotion>{'|'.join(JAFFE_CODES)})\d+\.\d+\.\w+"
    rows, reading = _named_pictures(place, pattern, JAFFE_CODES, "KA.AN1.39.tiff")
    reading.samples, reading.expected = rows[ROWS], {"": JAFFE_COUNTS}
    return reading


# ---------------------------------------------------------------- KDEF

KDEF_CODES = {
    "AF": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise",
}  # fmt: skip
KDEF_PERSONS, KDEF_SESSIONS = 70, 2


def read_kdef(place: Place) -> Reading:
    """`AF01ANS.JPG`: session A, person F01, angry, straight. AF01 and BF01 are the same person."""
    pattern = rf"[AB](?P<subject>[FM]\d\d)(?P<emotion>{'|'.join(KDEF_CODES)})(?P<angle>FL|HL|S|HR|FR)\.\w+"
    rows, reading = _named_pictures(place, pattern, KDEF_CODES, "AF01ANS.JPG")
    wanted = rows["angle"].isin(place.row.angles)
    others = ", ".join(f"{angle} {count}" for angle, count in sorted(Counter(rows.loc[~wanted, "angle"]).items()))
    if others:
        chosen = ", ".join(place.row.angles)
        reading.notes.append(f"angles = {chosen}: pictures of the other angles are not read ({others})")
    reading.samples = rows.loc[wanted, ROWS].reset_index(drop=True)
    each = KDEF_PERSONS * KDEF_SESSIONS * len(place.row.angles)
    reading.expected = {"": dict.fromkeys(EMOTIONS, each)}
    return reading


# ---------------------------------------------------------------- CK+

CK48_FRAMES = 3  # the last ones of each labelled sequence
SHORTEST_SEQUENCE = 4  # frames; with more asked for than one less, the count is not known beforehand
CKPLUS_PICTURES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
CKPLUS_LABELS = ("Emotion", "emotion", "Emotion_labels/Emotion", "Emotion_labels")


def read_ck48(place: Place) -> Reading:
    """`CK+48/<class>/S010_004_00000017.png`: the last three frames of each labelled sequence, no neutral."""
    reading = read_class_folders(place, {place.base: ""}, {**NAMED_CLASSES, "contempt": label_of(place.row.contempt)})
    names = [path.rpartition("/")[2] for path in reading.samples["path"].to_list()]
    found = [re.match(r"(S\d+)_", name) for name in names]
    reading.samples["subject"] = [match[1] if match else "" for match in found]
    reading.expected = with_contempt({"": CK48_COUNTS}, place.row.contempt, {"": CK48_CONTEMPT})
    return reading


def read_ckplus(place: Place) -> Reading:
    """`cohn-kanade-images/S005/001/*.png`; `Emotion/S005/001/*_emotion.txt` labels the last frame, the peak."""
    images = next(place.base / name for name in CKPLUS_PICTURES if (place.base / name).is_dir())
    labels = next(place.base / name for name in CKPLUS_LABELS if (place.base / name).is_dir())
    reading, rows, unlabelled = Reading(pd.DataFrame(), expected=_ckplus_counts(place)), [], 0
    for subject in visible_folders(images):
        for sequence in visible_folders(images / subject):
            sheet = _label_file(labels / subject / sequence)
            if sheet is None:
                unlabelled += 1
                continue
            taken, rejected = _sequence(place, images / subject / sequence, sheet)
            rows += [(path, label, subject) for path, label in taken]
            reading.rejected += rejected
    reading.samples = pd.DataFrame(rows, columns=ROWS)
    if unlabelled:
        reading.notes.append(f"{unlabelled} sequences have no label and are not read")
    return reading


def _ckplus_counts(place: Place) -> Mapping[str, Mapping[str, int]] | None:
    frames = place.row.last_frames
    if frames >= SHORTEST_SEQUENCE:
        return None
    neutral = 327 if place.row.neutral_frame else 0
    labelled = with_contempt({"": CK48_COUNTS}, place.row.contempt, {"": CK48_CONTEMPT})[""]
    return {"": {emotion: count // CK48_FRAMES * frames for emotion, count in labelled.items()} | {"neutral": neutral}}


def _label_file(folder: Path) -> Path | None:
    """Many folders are empty, and some hold .DS_Store alone."""
    if not folder.is_dir():
        return None
    return min((file for file in folder.glob("*_emotion.txt") if not file.name.startswith(".")), default=None)


def _sequence(place: Place, folder: Path, sheet: Path) -> tuple[list[tuple[str, int]], list[dict[str, str]]]:
    """The last frames until the labelled one with its label, the first as neutral; or why not."""
    peak = sheet.name.removesuffix("_emotion.txt")
    frames = [name for name in pictures(folder) if Path(name).stem <= peak]
    paths = [place.relative(folder / name) for name in frames]
    last = paths[max(len(paths) - place.row.last_frames, 1 if len(paths) > 1 else 0) :]
    label, why = _read_label(sheet, place.row.contempt)
    if not frames or Path(frames[-1]).stem != peak:
        label, why, last = None, f"the labelled frame {peak} is not there", [place.relative(folder)]
    rejected = [reject(f"{place.name}/{path}", path, why) for path in last if label is None]
    taken = [(path, label) for path in last if label is not None]
    if place.row.neutral_frame and len(paths) > 1:
        taken.append((paths[0], EMOTIONS.index("neutral")))
    return taken, rejected


def _read_label(sheet: Path, contempt: str | None) -> tuple[int | None, str]:
    """The label, or None and why: the file holds one number with spaces around it, `3.0000000e+00`."""
    problem = file_state(sheet).problem
    text = "" if problem else sheet.read_bytes().decode(errors="replace").strip()
    try:
        number = f"{float(text):g}"
    except ValueError:
        return None, f"{sheet.name} {problem}" if problem else f"{sheet.name} holds {text[:20]!r}, no number"
    classes = numbered("ckplus", contempt)
    return classes.get(number), left_out(f"label {number}", number, classes)
