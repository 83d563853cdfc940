"""Where networks look, per expression: mean Grad-CAM over test faces answered as that class.

Drawn with GRAD_CAM = True. Like the other figures that show faces it needs the datasets; also weights, and the extra
`attention`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fer.audit.contact_sheets import spread
from fer.data.samples import DatasetSamples
from fer.figures.engine import FigureJob
from fer.figures.pictures import CaptionedPicture, PackedPixels, PictureRow, first_entries, plot_picture_rows
from fer.figures.result_rows import chosen_by_validation
from fer.figures.titles import joined, name_parts, notes, run_words
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.study.plan import Study
from fer.study.variants import picture_recipe, scored_faces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer.inference.trained_model import TrainedModel

AVERAGED = 24  # faces of a class; their mean no longer changes to the eye
EXAMPLES = 4


def attention_jobs(study: Study, stored: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset, variant and network what `mistake_jobs` shows, where GRAD_CAM asks for it; ensembles have no map."""
    if not study.settings.grad_cam:
        return
    chosen = {found.name for found in chosen_by_validation(stored).values()}
    for entry in first_entries(stored):
        if entry.how != "file":
            continue
        run = entry.run.run
        data = study.at(run["split"]).datasets[entry.test_on]
        size = run["hyper"]["input_size"]
        title = [
            f"Where {run['model']} looks in faces of the {entry.test_on} test set",
            run_words(entry.run),
            joined(f"Grad-CAM of the class answered, mean of up to {AVERAGED} faces", *notes(stored, entry.test_on)),
        ]
        yield FigureJob(
            name=f"attention/{'_'.join([entry.test_on, *name_parts(stored, entry.run)])}_attention",
            draw=draw_attention,
            title=title,
            details={"size": size},
            sources=(study, data, entry),
            stamp=[entry.stamp(), picture_recipe(data, entry.test_variant, size, study.settings)],
            run=entry.run.name,
            section="errors" if entry.run.name in chosen else "run",
            caption=f"What moved answers of {run['model']} on {entry.test_on}, red most; a row per class answered, the "
            "mean over faces, then single ones. It is as coarse as the network's last layer, and no explanation.",
            alt=f"Faces of {entry.test_on} under heat maps, one row per class answered.",
            is_key=True,  # asked for with GRAD_CAM
        )


def draw_attention(study: Study, data: DatasetSamples, entry: PredictionEntry, title: list[str], size: int) -> Figure:
    """A row per class answered: the mean face, the mean map over it, and single faces under theirs."""
    from fer.inference.trained_model import load_model

    model = load_model(str(entry.run.folder), study.settings.output_path, device="cpu")
    found = read_predictions(entry)
    faces = PackedPixels(scored_faces(data, "test", entry.test_variant, size, study.settings))
    rows = []
    for label, emotion in enumerate(found.classes):
        places = np.flatnonzero(found.predicted == label)
        chosen = [str(found.sample_ids[places[place]]) for place in spread(len(places), AVERAGED)]
        pixels = [faces[name] for name in chosen]
        words = f"said {emotion}\n{len(chosen):,} of {len(places):,} faces"
        rows.append(PictureRow(words, _pictures(model, np.stack(pixels), label) if pixels else []))
    return plot_picture_rows(title, rows, [(1, "mean face"), (1, "mean map"), (EXAMPLES, "single faces")])


def _pictures(model: TrainedModel, pixels: np.ndarray, label: int) -> list[CaptionedPicture]:
    from fer.inference.grad_cam import face_picture, grad_cam, overlay

    heats = grad_cam(model, pixels, [label] * len(pixels))
    mean = pixels.mean(axis=0).round().astype(np.uint8)
    shown = [np.asarray(face_picture(mean)), np.asarray(overlay(mean, heats.mean(axis=0)))]
    shown += [np.asarray(overlay(pixels[one], heats[one])) for one in spread(len(pixels), EXAMPLES)]
    return [CaptionedPicture(picture) for picture in shown]
