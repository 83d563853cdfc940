"""Promises about MMI: the middle of frontal clips with one of six emotions, the first frame as neutral."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_trees import read, reasons, touch, write

from fer.layouts.pictures import UnreadablePicture, open_picture, picture_file
from fer.settings.settings import EMOTIONS

VIEW = '<?xml version="1.0"?><session id="{0}"><track trackId="{0}" filename="S001-{0}.avi" view="{1}"/></session>'
SHOWN = '<?xml version="1.0"?><Sessions><Metatag Name="Emotion" Value="{0}"/><Metatag Name="AU" Value="1"/></Sessions>'


def clip(file: Path, frames: int) -> None:
    """A clip whose frame number n is of the gray level 20 n."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 32))
    for number in range(frames):
        writer.write(np.full((32, 32, 3), 20 * number, dtype=np.uint8))
    writer.release()


def session(root: Path, number: int, person: str, view: str = "0", emotion: str | None = "3") -> Path:
    folder = root / "Sessions" / str(number)
    stem = f"{person}-{number:03d}"
    write(folder / "session.xml", VIEW.format(number, view))
    write(folder / f"{stem}-oao_aucs.xml", "<aucs/>")
    if emotion is not None:
        write(folder / f"{stem}.xml", SHOWN.format(emotion))
    return folder / f"{stem}.avi"


def mmi(root: Path) -> Path:
    clip(session(root, 1, "S001"), 11)  # fear
    clip(session(root, 2, "S001", emotion="4"), 2)  # happy, a short one
    clip(session(root, 3, "S002", view="2"), 5)  # front and side
    clip(session(root, 4, "S002", emotion="9"), 5)  # none of the six
    clip(session(root, 5, "S003", emotion=None), 5)  # action units alone
    still = session(root, 6, "S004", emotion="6").parent
    touch(still, *(f"{number:04d}.jpg" for number in range(4)), "Thumbs.db", ".DS_Store")
    session(root, 7, "S005").write_bytes(b"no clip")
    return root


def test_the_middle_takes_the_label_and_the_first_frame_is_neutral(tmp_path: Path) -> None:
    listing = read(mmi(tmp_path), "mmi")
    rows = listing.samples.to_dict("records")
    found = {row["path"].removeprefix("Sessions/"): (EMOTIONS[row["label"]], row["subject"]) for row in rows}
    assert found == {
        "1/S001-001.avi#0": ("neutral", "S001"),
        **{f"1/S001-001.avi#{number}": ("fear", "S001") for number in (4, 5, 6)},
        "2/S001-002.avi#0": ("neutral", "S001"), "2/S001-002.avi#1": ("happy", "S001"),
        "6/0000.jpg": ("neutral", "S004"), **{f"6/000{number}.jpg": ("surprise", "S004") for number in (1, 2, 3)},
    }  # fmt: skip
    for words in ("view 2: not the frontal view", "Emotion 9 is none of the seven", "no frame that can be read"):
        assert words in reasons(listing)
    assert any("1 sessions have no Emotion" in note for note in listing.notes)
    assert len(read(tmp_path, "mmi", last_frames=1, neutral_frame=False).samples) == 3


def test_a_frame_of_a_clip_is_the_one_its_number_says(tmp_path: Path) -> None:
    clip(tmp_path / "a.avi", 6)
    for number in range(6):
        pixels = np.asarray(open_picture(tmp_path, f"a.avi#{number}"))
        assert abs(float(pixels.mean()) - 20 * number) < 5
    assert picture_file("Sessions/1/a.AVI#12") == "Sessions/1/a.AVI"
    with pytest.raises(UnreadablePicture, match="no frame 6"):
        open_picture(tmp_path, "a.avi#6")
    with pytest.raises(UnreadablePicture):
        open_picture(tmp_path, "gone.avi#0")
