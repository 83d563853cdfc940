"""MMI: a folder a session, with a clip or its frames as pictures, and what is shown in it. Persons become subjects.

A clip goes from neutral to the expression and back, so its peak lies in the middle, not at its end as in CK+.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from fer.layouts.class_names import ClassMap
from fer.layouts.emotions import EMOTIONS
from fer.layouts.file_states import file_state
from fer.layouts.folders import Reading, pictures, visible_files, visible_folders
from fer.layouts.label_sheets import Place, reject
from fer.layouts.video_frames import frame_count

MMI_SESSIONS = "Sessions"
MMI_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise")  # Emotion 1 to 6; beyond: other states
MMI_CLASSES: ClassMap = {str(number): EMOTIONS.index(name) for number, name in enumerate(MMI_ORDER, 1)}
FRONTAL = "0"  # view of a track; 2 shows front and side in one picture
CLIPS = (".avi", ".mpg", ".mpeg", ".mp4")
ABOUT_SIDEWAYS = "older clips are turned by 90 degrees as shipped: no face is found in these (see the detection table)"


def read_mmi(place: Place) -> Reading:
    """`Sessions/<n>/session.xml`, `S001-001.avi` (or pictures) and `S001-001.xml` with its Emotion."""
    sessions, rows, rejected, skipped = place.base / MMI_SESSIONS, [], [], 0
    for name in visible_folders(sessions):
        folder = sessions / name
        emotion, subject = _shown(folder)
        if emotion is None:
            skipped += 1
            continue
        path, label = place.relative(folder), MMI_CLASSES.get(emotion)
        why = f"Emotion {emotion} is none of the seven expressions" if label is None else _not_frontal(folder)
        frames = [] if why else list(_frames(place, folder))
        if why or not frames:
            rejected.append(reject(f"{place.name}/{path}", path, why or "no frame that can be read"))
            continue
        first, *others = frames
        peak = _middle(others or frames, place.row.last_frames)
        rows += [(frame, label, subject) for frame in peak]
        if place.row.neutral_frame and others:
            rows.append((first, EMOTIONS.index("neutral"), subject))
    notes = [f"{skipped} sessions have no Emotion and are not read"] if skipped else []
    return Reading(pd.DataFrame(rows, columns=["path", "label", "subject"]), rejected, [*notes, ABOUT_SIDEWAYS])


def _shown(folder: Path) -> tuple[str | None, str]:
    """The Emotion of a session's S001-001.xml (None without one), and the person, S001."""
    for name in visible_files(folder):
        found = re.fullmatch(r"(S\d+)-\d+\.xml", name, re.IGNORECASE)
        values = [tag.get("Value") for tag in _elements(folder / name, "Metatag") if tag.get("Name") == "Emotion"]
        if found and values:
            return str(values[0]).strip(), found[1].upper()
    return None, ""


def _not_frontal(folder: Path) -> str:
    """Why a session's view cannot be used, "" where it can, or where no session.xml tells."""
    views = {str(track.get("view")) for track in _elements(folder / "session.xml", "track") if track.get("view")}
    return "" if views <= {FRONTAL} else f"view {', '.join(sorted(views))}: not the frontal view alone"


def _elements(file: Path, tag: str) -> Iterator[ElementTree.Element]:
    if file_state(file).problem:
        return
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError:
        return
    yield from (one for one in root.iter() if one.tag.rpartition("}")[2].lower() == tag.lower())


def _frames(place: Place, folder: Path) -> Iterator[str]:
    """Paths of a session's frames in order: its pictures, else the frames of its clip as `<clip>#<number>`."""
    still = pictures(folder)
    if still:
        yield from (place.relative(folder / name) for name in still)
        return
    for name in visible_files(folder):
        if name.lower().endswith(CLIPS):
            yield from (f"{place.relative(folder / name)}#{number}" for number in range(frame_count(folder / name)))
            return


def _middle(frames: list[str], count: int) -> list[str]:
    start = max((len(frames) - count) // 2, 0)
    return frames[start : start + count]
