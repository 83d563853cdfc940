"""Every rule finds what was planted, says so where nothing was, and never more than twelve sentences are made."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import Study, predicted
from made_results import one as entry_of
from planted import Planted, findings_of

from fer.findings.finding import NOT_SHOWN, SHOWN
from fer.findings.findings import MOST, NOTHING_YET, read_findings, write_findings
from fer.results.tables import write_tables
from fer.settings.settings import EMOTIONS
from fer.statistics.bootstrap import draw_groups
from fer.statistics.comparisons import write_statistics
from utils import read_json, write_json

pytestmark = pytest.mark.slow
THREE = (1, 2, 3)
ALONE = (("studio",), ("wild",))


def variants(better: str, by: float) -> Any:
    return lambda run, item: 0.55 + by * (run.variant == better)


@pytest.mark.parametrize(
    ("question", "shown", "skill"),
    [
        ("preprocessing", ("raw", "preprocessed"), variants("preprocessed", 0.2)),
        ("augmentation", ("preprocessed", "augmented"), variants("augmented", 0.2)),
        ("preprocessing and augmentation", ("raw", "augmented"), variants("augmented", 0.2)),
    ],
)
def test_a_better_variant_is_found_with_its_size(tmp_path: Path, question: str, shown: Any, skill: Any) -> None:
    found = findings_of(Planted(tmp_path, variants=shown, train_on=ALONE, seeds=THREE, skill=skill))[question]
    assert found.strength == SHOWN and " helps:" in found.sentence
    assert found.low < 0.2 < found.high and abs(found.estimate - 0.2) < 0.08
    assert "6 matched pairs, 3 seeds" in found.sentence


def test_a_worse_variant_is_said_to_harm(tmp_path: Path) -> None:
    study = Planted(tmp_path, variants=("raw", "preprocessed"), train_on=ALONE, seeds=THREE, skill=variants("raw", 0.2))
    found = findings_of(study)["preprocessing"]
    assert found.strength == SHOWN and "Preprocessing harms" in found.sentence and found.high < 0


def test_where_nothing_was_planted_no_difference_is_shown(tmp_path: Path) -> None:
    study = Planted(tmp_path, variants=("preprocessed", "augmented"), models=("one", "two"), seeds=THREE,
                    tta=("none", "flip"))  # fmt: skip
    found = findings_of(study)
    for question in ("augmentation", "combining sets", "TTA", "other dataset"):
        assert found[question].strength == NOT_SHOWN, found[question].sentence
        assert found[question].low < 0 < found[question].high
    assert "is not shown to help or to harm" in found["TTA"].sentence
    assert "No difference is shown" in found["other dataset"].sentence


def test_combining_sets_and_what_is_lost_elsewhere(tmp_path: Path) -> None:
    def skill(run: Any, item: dict[str, str]) -> float:
        if item["test_on"] not in run.train_on:
            return 0.25 if item["test_on"] == "wild" else 0.4
        return 0.75 if len(run.train_on) > 1 else 0.55

    found = findings_of(Planted(tmp_path, models=("one", "two"), seeds=THREE, skill=skill))
    assert found["combining sets"].strength == SHOWN and abs(found["combining sets"].estimate - 0.2) < 0.08
    lost = found["other dataset"]
    assert lost.strength == SHOWN and abs(lost.estimate + 0.22) < 0.08
    assert "scores lower" in lost.sentence and "most from studio to wild" in lost.sentence


def test_views_and_votes(tmp_path: Path) -> None:
    def skill(run: Any, item: dict[str, str]) -> float:
        return 0.5 + 0.15 * (item["tta"] == "flip")

    study = Planted(tmp_path, train_on=ALONE, models=("a", "b", "c", "d", "e"), seeds=THREE, tta=("none", "flip"),
                    skill=skill)  # fmt: skip
    found = findings_of(study)
    assert found["TTA"].strength == SHOWN and abs(found["TTA"].estimate - 0.15) < 0.06
    assert "30 matched pairs" in found["TTA"].sentence
    assert found["ensembling"].strength == SHOWN and found["ensembling"].estimate > 0.02  # five that err apart


def test_validation_chooses_whatever_test_says(tmp_path: Path) -> None:
    def skill(run: Any, item: dict[str, str]) -> float:
        good_on = "val" if run.model == "chosen" else "test"
        return 0.8 if item["split"] == good_on else 0.5

    study = Planted(tmp_path, train_on=ALONE, models=("chosen", "lucky"), seeds=THREE, skill=skill)
    found = [one for one in _findings(study) if one.rule == "chosen network"]
    assert [one.dataset for one in found] == ["studio", "wild"]
    for one in found:
        assert "validation chooses chosen (preprocessed)" in one.sentence and "252 test pictures" in one.sentence
        assert abs(one.estimate - 0.5) < 0.08 and one.low < one.estimate < one.high
        assert one.n == 252 and one.seeds == 3


def test_the_best_number_stands_beside_the_majority_class(tmp_path: Path) -> None:
    found = findings_of(Planted(tmp_path, train_on=ALONE, seeds=THREE))["best number"]
    assert "against 0.055" in found.sentence  # 60 of 252 test pictures are of the most frequent class: F1 0.385 / 7
    assert "against 23.8 %" in found.sentence


def test_the_class_that_fails_and_what_it_is_taken_for(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, seeds=THREE, hopeless="fear", skill=lambda run, item: 0.7)
    found = findings_of(study)["failing classes"]
    after = EMOTIONS[EMOTIONS.index("fear") + 1]
    assert "fear on studio (recall 0.0 % of 30 pictures" in found.sentence
    assert f"most often taken for {after}" in found.sentence


def test_failing_classes_count_every_fold_that_answered_the_same_pictures(tmp_path: Path) -> None:
    def skill(run: Any, item: dict[str, str]) -> float:
        return 0.99 if run.split == "r0f0" else 0.01

    study = Planted(tmp_path, train_on=(("studio",),), seeds=(1,), folds=("r0f0", "r0f1"), skill=skill)
    found = findings_of(study)["failing classes"]
    answers = [predicted(study, planned) for planned in study.plan()]  # each fold answers the whole test set
    recalls = [np.mean([(given == true)[true == label].mean() for true, given in answers]) for label in range(7)]
    worst = int(np.argmin(recalls))
    assert 0.3 < min(recalls) < 0.7
    assert f"{EMOTIONS[worst]} on studio (recall {100 * min(recalls):.1f} % of" in found.sentence


def test_of_many_datasets_failing_classes_add_up(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    study = Planted(tmp_path, datasets=names, train_on=tuple((name,) for name in names))
    hopeless = dict(zip(names, EMOTIONS, strict=False))
    for planned in study.plan():
        name = planned.run.train_on[0]
        _, answers = predicted(study, planned, test_on=name)
        label = EMOTIONS.index(hopeless[name])
        probabilities = np.eye(len(EMOTIONS), dtype=np.float32)[np.where(answers == label, label - 1, answers)]
        Study.write_predictions(study, planned, entry_of(planned, study, name), probabilities=probabilities)
    sentence = findings_of(study)["failing classes"].sentence
    assert "on each of 4 datasets" in sentence and "others on 1;" in sentence


def test_one_seed_ties_and_few_pictures_are_said_once(tmp_path: Path) -> None:
    counts = {"train": (40,) * 7, "val": (20,) * 7, "test": (40, 4, 30, 60, 40, 30, 40)}
    study = Planted(tmp_path, train_on=ALONE, models=("one", "two"), class_counts=counts, sample_data=("studio",))
    found = findings_of(study)["limits"]
    assert "one seed may be luck (3 are needed)" in found.sentence
    assert "of two networks" in found.sentence and "no difference is shown" in found.sentence
    assert "disgust in studio" in found.sentence and "those of studio are drawn" in found.sentence


def test_three_seeds_are_no_limit_and_networks_that_differ_no_tie(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, models=("good", "bad"), seeds=THREE,
                    skill=lambda run, item: 0.8 if run.model == "good" else 0.4)  # fmt: skip
    assert "limits" not in findings_of(study)


def test_networks_that_learn_nothing_are_counted(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, seeds=THREE, skill=lambda run, item: 0.02)
    found = findings_of(study)["limits"]
    assert "6 networks that did not learn" in found.sentence
    assert "beats the majority class on studio and wild" in found.sentence


def test_unfinished_runs_are_counted(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, seeds=THREE)
    (study.plan()[0].folder / "run.json").unlink()
    assert "1 of 6 runs is not finished" in findings_of(study)["limits"].sentence


def test_a_network_that_lacks_a_seed_is_said_to_be_passed_over(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, models=("good", "bad"), seeds=THREE,
                    skill=lambda run, item: 0.8 if run.model == "good" else 0.4)  # fmt: skip
    lost = next(one for one in study.plan() if one.run.model == "good" and one.run.train_on == ("wild",))
    (lost.folder / "predictions" / entry_of(lost, study, "wild", "val")["file"]).unlink()
    found = findings_of(study)
    assert "wild, validation chooses bad" in found["chosen network"].sentence
    assert "that good fall behind what validation chooses on wild, since" in found["limits"].sentence


def test_what_the_audit_counts_is_warned_of(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, seeds=THREE)
    nothing = {
        "exact": {"across": {}, "conflicting_groups": 0},
        "near": {"across": {}, "conflicting_pairs": 0},
        "quality": {"rows": 100, "blank": 0, "blurred": 0},
        "unexpected_counts": [],
    }
    some = nothing | {"exact": {"across": {"test in train": 7}, "conflicting_groups": 1}}
    counts = {"datasets": {"studio": nothing, "wild": some}, "exact_across_datasets": {}}
    write_json(tmp_path / "audit" / "audit.json", counts)
    sentence = findings_of(study)["audit"].sentence
    assert "7 test pictures that also stand in the training data as delivered (wild)" in sentence
    assert "1 group of identical pictures with different labels" in sentence and "near cop" not in sentence
    write_json(
        tmp_path / "audit" / "audit.json",
        counts | {"exact_across_datasets": {"studio in wild": 2, "wild in studio": 3}},
    )
    assert "5 rows with an identical picture in the other dataset" in findings_of(study)["audit"].sentence
    three = {"datasets": {"a": nothing, "b": nothing, "c": nothing}}
    between = {"a in b": 1, "a in c": 1, "b in a": 1, "c in a": 1, "b in c": 1, "c in b": 1}  # one picture, three rows
    write_json(tmp_path / "audit" / "audit.json", three | {"exact_across_datasets": between})
    sentence = findings_of(study)["audit"].sentence
    assert "6 rows" not in sentence and "a row counted once for each" in sentence
    write_json(tmp_path / "audit" / "audit.json", counts | {"datasets": {"studio": nothing, "wild": nothing}})
    assert "found no copies across splits" in findings_of(study)["audit"].sentence


def test_without_test_scores_validation_speaks_and_says_so(tmp_path: Path) -> None:
    found = findings_of(Planted(tmp_path, train_on=ALONE, splits=("val",)))
    assert "on validation, one seed; its test set was not scored" in found["chosen network"].sentence
    assert "best number" not in found and "TTA" not in found


def test_before_any_run_nothing_is_found(tmp_path: Path) -> None:
    study = Planted(tmp_path, finished=False)
    assert not findings_of(study)
    assert NOTHING_YET in (tmp_path / "findings.md").read_text()


def test_a_large_study_has_no_more_sentences_than_a_small_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("fer.statistics.answers.draw_groups", partial(draw_groups, resamples=50))
    names = ("one", "two", "three", "four")
    study = Planted(
        tmp_path, datasets=names, train_on=(*((name,) for name in names), names), seeds=(1, 2, 3, 4, 5),
        variants=("preprocessed", "augmented"), models=("a", "b", "c", "d"),
        class_counts={"train": (9,) * 7, "val": (4,) * 7, "test": (6,) * 7},
    )  # fmt: skip
    assert len(study.plan()) == 200
    found = _findings(study)
    assert len(found) <= MOST and max(len(one.sentence) for one in found) < 700
    assert "of 4 datasets" in found[0].sentence
    assert read_findings(tmp_path) == found


def test_the_primary_metric_speaks(tmp_path: Path) -> None:
    study = Planted(tmp_path, train_on=ALONE, seeds=THREE)
    stored = read_json(tmp_path / "study.json")
    stored["config"] |= {"PRIMARY_METRIC": "accuracy", "PRIMARY_COMPARISONS": ["models"]}
    write_json(tmp_path / "study.json", stored)
    sentence = findings_of(study)["chosen network"].sentence
    assert "accuracy 0." in sentence and "macro-F1" not in sentence


def _findings(study: Planted) -> list[Any]:
    write_tables(study.output)
    write_statistics(study.output)
    found = write_findings(study.output)
    assert all(one.estimate is None or not math.isnan(one.estimate) for one in found)
    return found
