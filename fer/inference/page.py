"""The local page: a picture or the webcam in, faces with probabilities and Grad-CAM out, by a run of one's choice.

Nothing is kept: an uploaded file is read into the memory of its session and deleted, what is shown stands in the page
itself, and gradio's own folder of files is a temporary one.
"""

from __future__ import annotations

import base64
import html
import io
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from fer.inference.best_run import best_run, trained_runs
from fer.inference.face_recipe import Looking
from fer.inference.grad_cam import strip
from fer.inference.output import drawn
from fer.inference.predictor import Answer, Predictor
from fer.inference.reading import read_pixels
from fer.inference.trained_model import TrainedModel, load_model, read_record
from fer.layouts.pictures import UnreadablePicture
from utils import InputError

if TYPE_CHECKING:
    import gradio

TITLE = "Facial expressions in a picture"
LONGEST_SIDE = 1600  # pixels of what is shown
FORGET_AFTER = 600  # seconds without use until a session's picture leaves memory
DRAWN = "demo, drawn faces: "
NOTE = (
    "Shows what annotators of the training pictures would have called an expression, not what a person feels. "
    "Pictures stay on this computer and are not kept."
)
LOOKING = {
    "as the run was trained": "trained",
    "look for faces": "detect",
    "the picture is one face": "whole",
}


def choices(output: Path, demo: Path) -> dict[str, Path]:
    """The runs one may choose, by the text shown: the best first; where there are none, the demo's, marked."""
    own = _listed(output, "")
    return own or _listed(demo, DRAWN)


def _listed(output: Path, mark: str) -> dict[str, Path]:
    try:
        best = best_run(output)
    except InputError:
        return {}
    rest = [folder for folder in trained_runs(output) if folder != best]
    listed = {f"{mark}{best.name} (best on validation)": best}
    return listed | {f"{mark or _mark(folder)}{folder.name}": folder for folder in rest}


def _mark(folder: Path) -> str:
    rows = read_record(folder)["config"]["DATASETS"].values()
    return DRAWN if any(row.get("sample") for row in rows) else ""


@lru_cache(maxsize=3)
def _model(folder: Path) -> TrainedModel:
    return load_model(str(folder), folder.parents[1])


# ---------------------------------------------------------------- from a file to what is shown


def take(file: str | None) -> tuple[np.ndarray | None, str]:
    """The pixels of an uploaded file, which is deleted, and in words why there are none."""
    if file is None:
        return None, ""
    path = Path(file)
    try:
        return read_pixels(path), ""
    except UnreadablePicture as error:
        return None, f"{path.name} cannot be used: {error}."
    finally:
        path.unlink(missing_ok=True)


def answer(
    runs: dict[str, Path], pixels: np.ndarray | None, problem: str, run: str, looking: str, attention: bool
) -> str:
    """HTML of a picture's faces; of the problem where there is none to show."""
    if pixels is None:
        return _alert(problem) if problem else ""
    try:
        model = _model(runs[run])
        predictor = Predictor([model], cast(Looking, LOOKING[looking]))
        found = predictor.predict_pixels(pixels)
        parts = [_summary(found), _image(drawn(pixels, found), "the picture with boxes and probabilities")]
        if attention and found.faces:
            faces = np.stack([face.pixels[0] for face in predictor.faces(pixels)])
            parts += ["<p>Grad-CAM: what moved the answer, red most.</p>", _image(strip(model, faces), "Grad-CAM")]
        return "".join(parts)
    except InputError as error:
        return _alert(str(error))


def _alert(text: str) -> str:
    return f'<p role="alert"><strong>{html.escape(text)}</strong></p>'


def _summary(found: Answer) -> str:
    if not found.faces:
        return '<p role="status">No face found.</p>'
    rows = "".join(
        f"<li>{face.label} {face.probabilities[face.label]:.0%}: "
        + ", ".join(f"{name} {value:.0%}" for name, value in face.probabilities.items())
        + "</li>"
        for face in found.faces
    )
    count = "1 face" if len(found.faces) == 1 else f"{len(found.faces)} faces, from left to right"
    return f'<p role="status">{count}</p><ol>{rows}</ol>'


def _image(picture: Image.Image, text: str) -> str:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    coded = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{text}" style="max-width:100%" src="data:image/png;base64,{coded}">'


# ---------------------------------------------------------------- the page


def build(output: Path, demo: Path) -> gradio.Blocks:
    """The page over the runs of `output`, or those of the demo."""
    import gradio

    runs = choices(output, demo)
    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, 60)) as page:
        gradio.Markdown(f"# {TITLE}\n{NOTE}")
        if not runs:
            gradio.Markdown(f"**Nothing is trained here yet**: {output} and {demo} hold no finished run.\n\n{HOW}")
            return page
        if next(iter(runs)).startswith(DRAWN):
            gradio.Markdown(f"**Nothing is trained in {output} yet.** These are the demo's networks. {KNOWS_NOTHING}")
        with gradio.Row():
            with gradio.Column(scale=1):
                file = gradio.File(label="Picture", file_types=["image"], type="filepath", height=140)
                camera = gradio.Image(label="Webcam", sources=["webcam"], type="filepath", image_mode=None, height=220)
                run = gradio.Dropdown(list(runs), value=next(iter(runs)), label="Run")
                looking = gradio.Radio(list(LOOKING), value="look for faces", label="Faces")
                attention = gradio.Checkbox(False, label="Grad-CAM")
            shown = gradio.HTML(elem_id="answer")
        pixels, problem = gradio.State(time_to_live=FORGET_AFTER), gradio.State("")
        asked = [pixels, problem, run, looking, attention]
        for given, source in ((file.upload, file), (camera.input, camera)):
            given(take, source, [pixels, problem]).then(partial(answer, runs), asked, shown)
        for choice in (run, looking, attention):
            choice.input(partial(answer, runs), asked, shown)
    return page


KNOWS_NOTHING = "They were trained on drawn faces and know nothing of real ones."
HOW = (
    "Train with `python main.py`, then start this page again. To look around: `python main.py --demo` trains the "
    f"demo's networks in three minutes. {KNOWS_NOTHING}"
)
