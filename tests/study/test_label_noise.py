"""Promises of LABEL_NOISE and DOUBTFUL: planted noise is found, no copy betrays a label, only training rows change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer.audit.label_noise import find_doubt, most_doubtful, ranked
from fer.columns.files import LABEL_NOISE, LABEL_NOISE_MATRIX
from fer.data.copies import NEAR_GROUP
from fer.data.folds import UNREAD, out_of_fold_names, with_fold
from fer.data.samples import load_samples
from fer.settings.settings import EMOTIONS, Settings
from fer.study.execution import execute
from fer.study.plan import Study, needed_runs, open_study, planned_runs
from fer.study.variants import training_faces
from main import main, plan_of
from utils import InputError

Make = Callable[..., Settings]


# ---------------------------------------------------------------- what cleanlab is asked


def planted_answers(rows: int = 700, wrong: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of which a share is wrong, a good network's probabilities, and which labels are wrong."""
    draws = np.random.default_rng(0)
    true = draws.integers(0, 7, rows)
    is_wrong = draws.random(rows) < wrong
    labels = np.where(is_wrong, (true + draws.integers(1, 7, rows)) % 7, true)
    probabilities = 0.03 + 0.79 * np.eye(7)[true] + 0.01 * draws.random((rows, 7))
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True), is_wrong


@pytest.mark.slow
def test_wrong_labels_are_found_with_what_they_should_be_and_how_many_there_are() -> None:
    labels, probabilities, is_wrong = planted_answers()
    found = find_doubt(labels, probabilities)
    assert np.array_equal(found.is_doubtful, is_wrong)
    assert np.array_equal(found.suggested, probabilities.argmax(axis=1))
    assert found.share == pytest.approx(is_wrong.mean(), abs=0.02)
    assert found.joint.sum(axis=1) == pytest.approx(np.bincount(labels))


@pytest.mark.slow
def test_a_class_without_a_row_is_never_suggested() -> None:
    labels, probabilities, _ = planted_answers()
    kept = labels != 1
    found = find_doubt(labels[kept], probabilities[kept])
    assert not (found.suggested == 1).any()
    assert found.joint[1].sum() == found.joint[:, 1].sum() == 0
    alone = find_doubt(np.full(5, 3), probabilities[:5])
    assert not alone.is_doubtful.any() and alone.share == 0


@pytest.mark.slow  # the import of cleanlab is
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(25))
def test_few_rows_and_any_probabilities_are_judged(seed: int) -> None:
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, draws.integers(1, 8), draws.integers(1, 40))
    probabilities = draws.dirichlet(np.full(7, (0.02, 0.3, 3)[seed % 3]), len(labels)).astype(np.float32)
    found = find_doubt(labels, probabilities)
    assert found.joint.sum() == pytest.approx(len(labels), abs=4)  # whole rows, rounded
    assert not (found.is_doubtful & (found.suggested == labels)).any()
    assert np.all(np.bincount(labels, ~found.is_doubtful, 7)[np.unique(labels)] >= 1)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="uv sync --extra noise"):
        find_doubt(*planted_answers()[:2])


def test_the_sheet_shows_the_most_doubtful_of_the_most_frequent_pairs() -> None:
    pairs = [(0, 1)] * 40 + [(2, 3)] * 20 + [(4, 5)] * 3
    table = pd.DataFrame(pairs, columns=["label", "suggested"]).assign(doubtful=True)
    table = table.assign(sample_id=[f"d/{n:03d}" for n in range(len(table))], self_confidence=np.linspace(0, 0.4, 63))
    shown = most_doubtful(ranked(table))
    assert shown.groupby(["label", "suggested"], sort=False).size().tolist() == [20, 20, 3]
    assert shown["rank"].tolist()[:20] == list(range(1, 21))


# ---------------------------------------------------------------- folds


def with_copies(settings: Settings) -> Settings:
    """Copies inside training, of test pictures in training, all under other labels."""
    root = settings.resolve(settings.datasets["alpha"].path)
    shutil.copy(next((root / "train/angry").glob("*.png")), root / "train/fear/copy_of_training.png")
    shutil.copy(next((root / "test/sad").glob("*.png")), root / "train/happy/copy_of_test.png")
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("copies", ["keep", "drop", "drop_near"])
def test_no_network_saw_a_row_it_is_asked_about_nor_a_copy(tiny_settings: Make, copies: str) -> None:
    settings = with_copies(tiny_settings(COPIES=copies, NOISE_FOLDS=4))
    data = open_study(settings).datasets["alpha"]
    tested = set(data.rows("test")["sample_id"])
    asked: list[str] = []
    for name in out_of_fold_names(settings):
        fold = with_fold(data, name, settings)
        seen, told = fold.samples[fold.samples["split"] != "test"], fold.rows("test")
        assert tested <= set(told["sample_id"])
        assert set(seen["content"]).isdisjoint(told["content"])
        assert set(seen["split"]) == {"train", "val"}
        if copies == "drop_near":
            assert set(seen[NEAR_GROUP]).isdisjoint(told[NEAR_GROUP])
        asked += [one for one in told["sample_id"] if one not in tested]
    assert sorted(asked) == sorted(set(data.unsettled["sample_id"]) - tested)


@pytest.mark.slow
def test_test_rows_that_stay_unread_change_no_key(tiny_settings: Make) -> None:
    settings = with_copies(tiny_settings(LABEL_NOISE="tiny_plain", DOUBTFUL="drop"))
    unread = settings.model_copy(update={"evaluate_test": False})
    names = [[planned.name for planned in every(open_study(one))] for one in (settings, unread)]
    assert names[0] == names[1]
    fold = with_fold(load_samples("alpha", unread), "noise0", unread)
    assert (fold.samples["split"] == UNREAD).sum() == 28


def every(study: Study) -> list:
    runs = planned_runs(study)
    return [*needed_runs(study, runs), *runs]


# ---------------------------------------------------------------- keys


@pytest.mark.slow
def test_doubt_is_in_the_key_of_those_that_heed_it_alone(tiny_settings: Make) -> None:
    def key(**changes: object) -> str:
        return planned_runs(open_study(tiny_settings(**changes)))[0].name

    plain, noise = key(), {"LABEL_NOISE": "tiny_plain"}
    assert key(**noise) == key(**noise, NOISE_FOLDS=3) == plain
    apart = [
        key(**noise, DOUBTFUL="drop"), key(**noise, DOUBTFUL=0.5), key(**noise, DOUBTFUL="drop", NOISE_FOLDS=3),
        key(**noise, DOUBTFUL="drop", SEEDS=(1,)), plain,
    ]  # fmt: skip
    assert len(set(apart)) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"LABEL_NOISE": "tiny_plane"}, 'Did you mean "tiny_plain"'),
        ({"DOUBTFUL": "drop"}, "LABEL_NOISE"),
        ({"DOUBTFUL": "drop", "LABEL_NOISE": "tiny_plain", "SPLITS": "kfold"}, 'SPLITS = "official"'),
        ({"DOUBTFUL": 1.5, "LABEL_NOISE": "tiny_plain"}, "DOUBTFUL"),
        ({"NOISE_FOLDS": 1}, "NOISE_FOLDS"),
        ({"DOUBTFUL": 0.5, "LABEL_NOISE": "tiny_plain", "HEAD": "logistic"}, 'Set DOUBTFUL = "drop"'),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(tiny_settings: Make, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_settings(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("doubtful", ["keep", "drop", 0.25])
def test_only_doubtful_training_rows_are_treated_apart(tiny_settings: Make, doubtful: str | float) -> None:
    settings = tiny_settings(LABEL_NOISE="tiny_plain", DOUBTFUL=doubtful, VARIANTS=("augmented",))
    study = open_study(settings)
    planned, data = planned_runs(study)[0], study.datasets["alpha"]
    chosen = [data.rows(split)["sample_id"].iloc[number] for split, number in (("train", 0), ("train", 30), ("val", 1))]
    samples = study.training(("alpha",)).samples
    train, validation, counts = training_faces(study.datasets, samples, planned.run, settings, frozenset(chosen))
    assert validation["alpha"].sample_ids == tuple(data.rows("val")["sample_id"])
    assert validation["alpha"].weight is None
    assert counts["alpha"]["n_train"] == len(data.rows("train")) - 2 * (doubtful == "drop")
    is_chosen = np.array([name.split("+aug")[0] in chosen for name in train.sample_ids])
    assert is_chosen.any() == (doubtful != "drop")
    expected = np.where(is_chosen, 0.25, 1) if doubtful == 0.25 else np.ones(len(train))
    assert np.array_equal(train.weights, expected)


@pytest.mark.slow
def test_points_of_a_grid_share_the_networks_that_judge(tiny_settings: Make) -> None:
    study = open_study(tiny_settings(LABEL_NOISE="tiny_plain", GRID={"DOUBTFUL": ("keep", "drop", 0.5)}))
    _, _, all_runs = plan_of(study)
    assert [planned.run.split for planned in all_runs] == [*(f"noise{n}" for n in range(5)), *["official"] * 3]
    assert [planned.run.hyper.doubtful for planned in all_runs[5:]] == ["keep", "drop", 0.5]
    for planned in all_runs[6:]:
        assert [need.name for need in planned.needs] == [one.name for one in all_runs[:5]]
        for need in planned.needs:  # its test rows, which the point leaves alone, are scored for the study
            assert study.of(planned).of(need) is study.at(need.run.split)


@pytest.mark.slow
def test_a_run_whose_judges_fail_is_not_trained(tiny_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tiny_settings(LABEL_NOISE="tiny_plain", DOUBTFUL="drop"))

    def fail(*_: object) -> None:
        raise RuntimeError("pretended")

    monkeypatch.setattr("fer.study.execution._train", fail)
    failures = execute(study, every(study))
    assert len(failures) == 6
    assert "has to be finished first" in failures[planned_runs(study)[0].name]


# ---------------------------------------------------------------- a whole study


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A dataset of 30 pictures a class with 20 pictures in a wrong folder: {sample_id: true emotion}."""
    from conftest import draw_folders

    root = draw_folders(tmp_path_factory.mktemp("noisy") / "alpha", {"train": [24] * 7, "test": [6] * 7})
    wrong = {}
    for number in range(21):
        true, given = EMOTIONS[number % 7], EMOTIONS[(number % 7 + 1 + number // 7) % 7]
        split = "train" if number < 14 else "test"
        source = sorted((root / split / true).glob(f"{true}_*.png"))[number // 7]
        source.rename(root / split / given / f"planted_{number}.png")
        wrong[f"alpha/{split}/{given}/planted_{number}.png"] = true
    return root, wrong


def study_file(tmp_path: Path, root: Path, **changes: object) -> Path:
    row = {"path": str(root), "layout": "folders", "faces": "cropped"}
    values: dict[str, object] = {
        "ACTIVE_DATASETS": ("alpha",), "DATASETS": {"alpha": row},
        "DATASETS_DIR": str(tmp_path / "prepared"), "OUTPUT_DIR": str(tmp_path / "out"), "VARIANTS": ("raw",),
        "EXPERIMENTS": ("individual",), "MODEL_CONFIG": {"tiny_plain": {
            "batch_size": 16, "weights": None, "input_size": 16, "channels": 1}},
        "EPOCHS": 12, "LEARNING_RATE": 1e-2, "FACE_SIZE": 16, "DEVICE": "cpu", "WORKERS": 0, "TTA": ("none",),
        "LABEL_NOISE": "tiny_plain", "NOISE_FOLDS": 3,
    }  # fmt: skip
    path = tmp_path / "study.py"
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in (values | changes).items()))
    return path


@pytest.mark.slow
def test_planted_noise_is_found_dropped_from_training_alone_and_left_in_the_test_set(
    noisy: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, wrong = noisy
    config = study_file(tmp_path, root, DOUBTFUL="drop")
    assert main(["--config", str(config)]) == 0
    table = pd.read_csv(tmp_path / "out/audit/label_noise.csv")
    assert tuple(table.columns) == LABEL_NOISE
    table = table.set_index("sample_id")
    matrix = pd.read_csv(tmp_path / "out/audit/label_noise_matrix.csv")
    assert tuple(matrix.columns) == LABEL_NOISE_MATRIX
    assert matrix.groupby("part")["estimated"].sum().to_dict() == {"train and val": 168, "test": 42}
    assert len(table) == 210
    for split in ("train", "test"):
        part = table[(table["split"] == "test") == (split == "test")]
        planted = part.index.isin(wrong)
        assert part.loc[planted, "doubtful"].mean() >= 0.75  # recall
        assert planted[part["doubtful"]].mean() >= 0.5  # precision
    right = [EMOTIONS[table.loc[one, "suggested"]] == true for one, true in wrong.items()]
    assert np.mean(right) >= 0.75
    samples = pd.read_csv(tmp_path / "out/samples/alpha_samples.csv").set_index("sample_id")
    assert all(EMOTIONS[samples.loc[one, "label"]] == one.split("/")[2] for one in wrong)  # no label changed
    result = pd.read_csv(tmp_path / "out/results.csv").query("model == 'tiny_plain'").iloc[0]
    doubted = table[table["doubtful"]]
    used = samples.loc[samples.index.intersection(doubted.index), "split"]
    assert result["n_train"] == (samples["split"] == "train").sum() - (used == "train").sum()
    assert result["n_val"] == (samples["split"] == "val").sum()
    assert (result["n_test"], result["n_confident"]) == (42, 42 - (used == "test").sum())
    assert result["accuracy_confident"] > result["accuracy"]
    assert (tmp_path / "out/audit/alpha_doubtful_labels.png").is_file()
    assert (tmp_path / "out/eda/label_noise.png").is_file()
    assert "not doubted" in (tmp_path / "out/tables/confident.md").read_text(encoding="utf-8")
    assert "labels doubted by networks" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    _turned_off_nothing_is_left(config, tmp_path / "out")


def _turned_off_nothing_is_left(config: Path, output: Path) -> None:
    assert main(["--config", str(config), "--set", "LABEL_NOISE=None", "--set", 'DOUBTFUL="keep"']) == 0
    assert not list((output / "audit").glob("*label*"))
    assert not (output / "tables/confident.md").exists()
    assert pd.read_csv(output / "results.csv")["n_confident"].isna().all()
