"""What a trained network says of new pictures: `python predict.py --image photo.jpg`. The command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # before the imports that take a second
    from fer.console.interrupt import leave_on_ctrl_c

    leave_on_ctrl_c()

from fer.console.installed import how_to_install
from fer.console.interrupt import EXIT_CODE, leave, raise_on_ctrl_c

try:
    from fer.console.terminal import file_problem, prepare_streams, stdout_problem
    from fer.inference.face_recipe import looks_for_faces
    from fer.inference.output import TABLES, Write, as_text, drawn, table
    from fer.inference.reading import VIDEOS, pictures_in, read_pixels
    from fer.settings.settings import load_settings
    from fer.views.policies import TTA_POLICIES
    from utils import InputError, log, start_logging
except ImportError as error:
    lack = how_to_install(error)
    if lack is None or __name__ != "__main__":
        raise
    sys.stderr.write(f"{lack}\n")
    sys.exit(2)

if TYPE_CHECKING:
    from fer.inference.predictor import Answer, Predictor


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="PATH", help="a picture, a folder, a pattern in quotes, or a video file")
    what.add_argument("--webcam", type=int, nargs="?", const=0, metavar="N", help="camera N until Ctrl-C")
    what.add_argument("--export", type=Path, metavar="FILE.onnx", help="write the model as ONNX, with a model card")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", nargs="+", default=["best"], metavar="RUN",
        help="folder of a run, or how its name starts; best: what validation chose; several: their mean",
    )  # fmt: skip
    model.add_argument("--output", type=Path, metavar="DIR", help="where runs lie (OUTPUT_DIR of config.py)")
    model.add_argument("--onnx", type=Path, metavar="FILE", help="an exported model; torch is not needed for crops")
    model.add_argument("--tta", choices=tuple(TTA_POLICIES), default="none", help="views of a face that are averaged")
    model.add_argument("--no-calibration", action="store_true", help="probabilities as trained, without temperature")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    faces = parser.add_argument_group("faces").add_mutually_exclusive_group()
    faces.add_argument("--no-face-detection", action="store_const", const="whole", dest="looking",
                       default="trained", help="the picture is the face")  # fmt: skip
    faces.add_argument("--detect", action="store_const", const="detect", dest="looking",
                       help="look for faces also where training took pictures as delivered")  # fmt: skip
    faces.add_argument("--one-face", action="store_const", const="one", dest="looking",
                       help="one face a picture, chosen as in training; all of it where none is found")  # fmt: skip
    parser.add_argument("--like", metavar="DATASET", help="prepare faces as this one of its training sets")
    result = parser.add_argument_group("result")
    result.add_argument("--json", action="store_true", help="a JSON line a picture instead of text")
    result.add_argument(
        "--save", type=Path, metavar="PATH",
        help="PATH.csv or PATH.jsonl: the answers; else pictures with boxes and bars: a file, for several a folder",
    )  # fmt: skip
    result.add_argument("--grad-cam", type=Path, metavar="PATH", help="each face and where the network looked, as a "
                        "picture; for several pictures a folder")  # fmt: skip
    result.add_argument("--every", type=float, default=0.5, metavar="SECONDS", help="of a video (default 0.5)")
    result.add_argument("--workers", type=int, metavar="N", help="processes that find faces (default: one per core)")
    return parser.parse_args(argv)


def load_predictor(arguments: argparse.Namespace) -> Predictor:
    """The models that the command line names, loaded once."""
    from fer.inference.predictor import Predictor, load_models

    if arguments.onnx is not None:
        from fer.inference.onnx_model import load_onnx, need_detector

        model = load_onnx(arguments.onnx)
        if looks_for_faces(model.recipe, arguments.looking):
            need_detector()
        return Predictor([model], arguments.looking, not arguments.no_calibration)
    output = arguments.output or load_settings().output_path
    models = load_models(arguments.model, output, arguments.tta, arguments.device, arguments.like)
    return Predictor(models, arguments.looking, not arguments.no_calibration)


def describe_models(predictor: Predictor) -> str:
    """In a line each: which model, how its faces are found, and how it is calibrated."""
    lines = []
    for model in predictor.models:
        looks = looks_for_faces(model.recipe, predictor.looking)
        found = "faces are looked for" if looks else "each picture is taken as one face"
        if predictor.looking == "trained" and not model.recipe.detects:
            found += " as in training (--detect looks for faces)"
        mended = f"temperature {model.temperature:.2f} from {model.n_val} validation rows" if model.n_val else "none"
        lines.append(f"{model.name}: {found}; calibration: {mended if predictor.calibrated else 'off'}")
    return "\n".join(lines)


# ---------------------------------------------------------------- pictures


def predict_pictures(predictor: Predictor, arguments: argparse.Namespace) -> int:
    """Answer every picture; broken ones are listed at the end. Returns 0, or 1 where one was broken."""
    from fer.faces.prepared import worker_count

    paths = pictures_in(arguments.image)
    root = Path(os.path.commonpath([path.parent for path in paths])) if len(paths) > 1 else None
    answers = predictor.predict(paths, arguments.workers or worker_count("auto"))
    if arguments.grad_cam is not None:
        answers = save_attention(predictor, answers, arguments.grad_cam, root)
    broken = []
    for answer in _written(answers, predictor, arguments, root):
        print(json.dumps(answer.describe()) if arguments.json else as_text(answer))
        broken += [answer] if answer.problem else []
    if broken and len(paths) > 1:
        log.warning("%d of %d could not be read:\n%s", len(broken), len(paths), "\n".join(map(as_text, broken)))
    return 1 if broken else 0


def _written(
    answers: Iterator[Answer], predictor: Predictor, arguments: argparse.Namespace, root: Path | None
) -> Iterator[Answer]:
    """The answers, each saved as --save asks on its way through."""
    save = arguments.save
    if save is not None and save.suffix.lower() in TABLES:
        with table(save, predictor.models[0].classes) as write:
            for answer in answers:
                write(answer)
                yield answer
        return
    for answer in answers:
        if save is not None and not answer.problem:
            save_drawn(answer, beside(save, answer.picture, root))
        yield answer


def beside(target: Path, picture: str, root: Path | None) -> Path:
    """Where what belongs to a picture is written: `target`, or of several below `root` as `<picture>.png` in it."""
    return target if root is None else target / f"{Path(picture).relative_to(root)}.png"


def save_attention(
    predictor: Predictor, answers: Iterator[Answer], target: Path, root: Path | None
) -> Iterator[Answer]:
    """The answers, each with its Grad-CAM strip written on its way through: to `target`, or `beside` it."""
    import numpy as np

    from fer.inference.grad_cam import strip
    from fer.inference.trained_model import TrainedModel

    (model,) = predictor.models
    assert isinstance(model, TrainedModel)
    for answer in answers:
        if answer.faces:
            path = beside(target, answer.picture, root)
            path.parent.mkdir(parents=True, exist_ok=True)
            faces = predictor.faces(read_pixels(Path(answer.picture)))
            strip(model, np.stack([face.pixels[0] for face in faces])).save(path)
        yield answer


def save_drawn(answer: Answer, target: Path) -> None:
    """Write the picture with boxes and bars. Raises InputError for an ending that Pillow does not write."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        drawn(read_pixels(Path(answer.picture)), answer).save(target)
    except ValueError as error:
        raise InputError(f"--save {target}: {error}. Name a .jpg or .png, or a .csv or .jsonl table.") from error


# ---------------------------------------------------------------- video


def predict_video(predictor: Predictor, source: Path | int, arguments: argparse.Namespace) -> int:
    """Answer a frame every --every seconds, as they come. Returns 0."""
    classes = predictor.models[0].classes
    saved: AbstractContextManager[Write | None] = (
        nullcontext() if arguments.save is None else table(arguments.save, classes, ("seconds",))
    )
    with saved as write:
        try:
            _answer_frames(predictor, source, arguments, write)
        except KeyboardInterrupt:
            if isinstance(source, Path):
                raise
            log.info("stopped")  # that is how a webcam ends: what was seen is saved
    return 0


def _answer_frames(
    predictor: Predictor, source: Path | int, arguments: argparse.Namespace, write: Write | None
) -> None:
    from fer.inference.video import frames_of

    empty = 0  # frames without a face since the last one with
    for seconds, pixels in frames_of(source, arguments.every):
        answer = predictor.predict_pixels(pixels, f"{source} {seconds:.2f} s")
        if write is not None:
            write(answer, seconds=round(seconds, 3))
        if arguments.json:
            print(json.dumps({"seconds": round(seconds, 3)} | answer.describe()), flush=True)
        elif answer.faces or empty == 0:  # minutes without a face are one line
            print(as_text(answer), flush=True)
        empty = 0 if answer.faces else empty + 1


# ---------------------------------------------------------------- export


def export(arguments: argparse.Namespace) -> int:
    """Write one run as ONNX with its model card. Returns 0."""
    from fer.inference.onnx_export import export_onnx
    from fer.inference.trained_model import load_model

    if len(arguments.model) > 1:
        raise InputError(f"--export writes one run a file; --model names {len(arguments.model)}.")
    output = arguments.output or load_settings().output_path
    model = load_model(arguments.model[0], output, arguments.tta, "cpu", arguments.like)
    difference = export_onnx(model, arguments.export, output)
    card = arguments.export.with_suffix(".md").name
    log.info("%s of %s, and %s; 100 faces differ by at most %.1g", arguments.export, model.name, card, difference)
    return 0


# ---------------------------------------------------------------- what the command line asks for


def _do(arguments: argparse.Namespace) -> int:
    if arguments.export is not None:
        return export(arguments)
    if arguments.onnx is not None and (arguments.like is not None or arguments.tta != "none"):
        raise InputError("--onnx: --like is chosen with --export, and --tta needs the run itself. Leave them out.")
    if arguments.grad_cam is not None and (arguments.onnx is not None or len(arguments.model) > 1):
        raise InputError("--grad-cam shows one run's own network: name one with --model, and no --onnx.")
    is_video = arguments.webcam is not None or Path(arguments.image).suffix.lower() in VIDEOS
    if is_video and arguments.save is not None and arguments.save.suffix.lower() not in TABLES:
        raise InputError(f"--save {arguments.save}: the answers to a video are a table; name a .csv or .jsonl.")
    predictor = load_predictor(arguments)
    log.info("%s", describe_models(predictor))
    if is_video:
        return predict_video(
            predictor, Path(arguments.image) if arguments.webcam is None else arguments.webcam, arguments
        )
    return predict_pictures(predictor, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 1 a picture was broken, 2 something to mend, 130 Ctrl-C)."""
    try:
        raise_on_ctrl_c()
        prepare_streams()
        arguments = parse_arguments(argv)
        start_logging()
        code = _do(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        log.error("To mend:\n- %s", "\n- ".join(error.problems))
        return 2
    except ImportError as error:
        lack = how_to_install(error)
        if lack is None:
            raise
        log.error("%s", lack)
        return 2
    except OSError as error:
        unprinted = stdout_problem() if error.filename is None else None  # a stream has no path
        log.error("%s", unprinted or file_problem(error, Path()))
        return 2
    except KeyboardInterrupt:
        log.warning("stopped")
        return EXIT_CODE


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        leave()
    if code == EXIT_CODE:
        leave(say=False)
    sys.exit(code)
