"""The pictures of a plan, made before any network: faces found and cut out, extra copies, packs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fer.data.whole_sets import dataset_of
from fer.runs.run import PlannedRun
from fer.study.plan import Study
from fer.study.predictions import scored_sets
from fer.study.variants import faces_of, training_faces


def prepare_pictures(study: Study, runs: Iterable[PlannedRun]) -> None:
    """Make every prepared face, extra copy and pack that `runs` train on or are scored on; what is there is kept.

    Raises InputError where a training would: a picture that cannot be prepared, no training picture left.
    """
    made: set[tuple[Any, ...]] = set()
    for planned in runs:
        run, own = planned.run, study.of(planned)
        pictures = (run.train_on, run.variant, run.split, run.hyper.input_size, run.balance)
        if pictures not in made:
            training_faces(own.datasets, own.training(run.train_on).samples, run, own.settings)
        made.add(pictures)
        for name, split, variant in scored_sets(own, run):
            shown = (name, split, variant, run.split, run.hyper.input_size)
            if shown not in made:
                rows, _ = own.scored(run, name, split)
                faces_of(own.datasets[dataset_of(name)], rows, variant, run.hyper.input_size, own.settings)
            made.add(shown)
