"""What each set of random changes in use does to faces of each dataset: the same face, drawn several times."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fer.data.samples import NEEDED, DatasetSamples
from fer.faces.augmentation import augment_images, make_transform
from fer.figures.engine import FigureJob
from fer.figures.pictures import CaptionedPicture, PictureRow, faces_of, plot_picture_rows
from fer.figures.titles import joined, notes
from fer.layouts.emotions import class_names
from fer.results.study_files import StoredStudy
from fer.runs.run import PlannedRun
from fer.settings.augmentation_rows import described, words_of_augmentation
from fer.settings.settings import Settings
from fer.study.plan import Study
from fer.study.variants import picture_recipe, scored_variant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 4  # of each face by each set
MOST_SETS = 3  # side by side; a study of more shows the first


class SetInUse(NamedTuple):
    """A set of changes as a run's key has it, who does them, on which pictures, and what it is for."""

    augmentation: dict[str, Any]
    engine: str
    variant: str
    purpose: str

    @property
    def words(self) -> str:
        """ "in training: strong (batch)"."""
        engine = " (batch)" if self.engine == "batch" else ""
        words = f"{self.purpose}: {words_of_augmentation(self.augmentation)}"
        return textwrap.shorten(words, 40, placeholder=" …") + engine


def augmentation_example_jobs(study: Study, stored: StoredStudy, runs: list[PlannedRun]) -> Iterator[FigureJob]:
    """Per dataset a row per emotion: a training face, and what each set in use makes of it."""
    for name, data in study.datasets.items():
        of_dataset = [planned for planned in runs if name in planned.run.train_on]
        sets = sets_in_use(of_dataset, study.settings)
        if not sets:
            continue
        split, size = NEEDED[data.row.role], of_dataset[0].run.hyper.input_size
        variants = sorted({one.variant for one in sets})
        yield FigureJob(
            name=f"sample_grids/{name}_augmentation",
            draw=draw_augmentations,
            title=[f"{name}: what augmentation does to a face", joined(f"{DRAWS} draws a set", *notes(stored, name))],
            details={"sets": [list(one) for one in sets], "size": size, "split": split[0]},
            sources=(study, data),
            stamp=[
                study.training((name,)).fingerprints,
                [picture_recipe(data, variant, size, study.settings) for variant in variants],
            ],
            section="data",
            caption=f"{split[1].capitalize()} faces of {name}, one of each emotion, and {DRAWS} draws of each set of "
            "changes. An emotion that cannot be told any more is a label that training gets wrong.",
            alt=f"Grid of faces of {name}: an emotion per row, the face and then changed versions of it.",
        )


def sets_in_use(runs: list[PlannedRun], settings: Settings) -> list[SetInUse]:
    """Each set that a run draws from online, once, and the one of the extra copies on disk where there are any."""
    found: list[SetInUse] = []
    for planned in runs:
        run, hyper = planned.run, planned.run.hyper
        if hyper.augmentation:
            found.append(SetInUse(hyper.augmentation, hyper.augment_engine, scored_variant(run.variant), "in training"))
        if run.variant == "augmented" and run.balance == "oversample" and (how := described(settings.offline_row())):
            found.append(SetInUse(how, "albumentations", "preprocessed", "extra copies"))
    return [one for place, one in enumerate(found) if one not in found[:place]][:MOST_SETS]


def draw_augmentations(
    study: Study, data: DatasetSamples, title: list[str], sets: list[list[Any]], size: int, split: str
) -> Figure:
    """The grid of one dataset."""
    used = [SetInUse(*values) for values in sets]
    faces = {one.variant: faces_of(study, data, one.variant, size, split) for one in used}
    first, rows = used[0].variant, []
    table = data.rows(split).sort_values("face", kind="stable")
    for label, emotion in enumerate(class_names(study.settings.classes)):
        of_class = table.loc[table["label"] == label, "sample_id"]
        if of_class.empty:
            continue
        one = str(of_class.iloc[len(of_class) // 2])
        changed = [face for set_ in used for face in changed_faces(faces[set_.variant][one], set_, label)]
        rows.append(PictureRow(emotion, [CaptionedPicture(face) for face in (faces[first][one], *changed)]))
    return plot_picture_rows(title, rows, [(1, "as it is"), *((DRAWS, one.words) for one in used)])


def changed_faces(face: np.ndarray, used: SetInUse, number: int) -> list[np.ndarray]:
    """DRAWS changed versions of a face [S, S, C], by the engine that changes it in training."""
    copies = np.stack([face] * DRAWS)
    if used.engine == "albumentations":
        return list(augment_images(copies, make_transform(used.augmentation, len(face)), (number,)))
    import torch

    from fer.faces.batch_augmentation import augment_batch

    batch = torch.from_numpy(np.ascontiguousarray(copies.transpose(0, 3, 1, 2)))
    return list(augment_batch(batch, used.augmentation, (number,)).numpy().transpose(0, 2, 3, 1))
