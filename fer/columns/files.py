"""The files a study leaves, what each row is, and the columns of the tables among them.

Whoever writes or reads a table takes its columns from here; what they mean: fer.columns.columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from fer.layouts.emotions import EMOTIONS
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.metrics.metrics import METRICS

# ---------------------------------------------------------------- what rows are told apart by

SCORED = ("test_on", "test_variant", "tta")
KEYS = ("run", *SCORED)  # one predictions file
SETUP = ("train_on", "variant", "model", "balance", "mixing", "selection")  # a run without its seed and fold
RUN = ("train_on", "variant", "model", "seed", "split", "balance", "mixing", "selection")
BOX = tuple(BOX_COLUMNS)

# ---------------------------------------------------------------- results

RESULT_KEYS = (*KEYS, "rows")
COUNTS = ("n_train", "n_val", "n_test", "n_classes")
CONFIDENT = ("accuracy_confident", "n_confident")
COPIES = (
    "accuracy_without_copies", "n_without_copies", "n_near_copies", "accuracy_copies", "n_copies",
    "accuracy_without_near_copies", "n_without_near_copies",
)  # fmt: skip
FACTS = (
    "epochs", "best_epoch", "train_seconds", "images_per_second", "peak_gpu_mb", "peak_ram_mb", "parameters", "flops",
    "latency_ms",
)  # fmt: skip
RESULTS = (
    *RESULT_KEYS, "section", *RUN, "members", *COUNTS, "classes_shared", *METRICS, "tta_gain", "optimism", *COPIES,
    *CONFIDENT, *FACTS, "limit_per_split", "sample_data",
)  # fmt: skip
TEST_ONLY = ("section", "classes_shared", "optimism", *COPIES, *CONFIDENT)
VALIDATION = tuple("n_rows" if name == "n_test" else name for name in RESULTS if name not in TEST_ONLY)
CLASSES = (*RESULT_KEYS, "class", "precision", "recall", "f1", "auc", "support")
FUNNEL = ("dataset", "step", "removed", "kept", "found", "sample_data")
TEST_READS = ("test_on", "run", "first_scored")
FINDINGS = ("rule", "sentence", "short", "strength", "see", "estimate", "low", "high", "n", "seeds", "dataset")
TRAIN_SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
VALIDATION_SCORES = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
PRETRAINING_HISTORY = ("epoch", "loss", "feature_spread", "learning_rate", "seconds", "images_per_second")
HISTORY = (
    "epoch", "train_loss", *(f"train_{name}" for name in TRAIN_SCORES), "images_per_second", "val_loss",
    *(f"val_{name}" for name in VALIDATION_SCORES), "learning_rate", "seconds", "peak_gpu_mb", "peak_ram_mb",
    "micro_batch",
)  # fmt: skip

# ---------------------------------------------------------------- statistics; all end in sample_data

INTERVALS = (*KEYS, *SETUP, "seed", "split", "metric", "value", "low", "high", "method", "n", "n_groups")
SEEDS = (
    *SETUP, "is_oracle", *SCORED, "metric", "mean", "sd", "n", "min", "max", "n_seeds", "n_repeats", "low", "high",
    "seeds", "folds",
)  # fmt: skip
COMPARISONS = (
    "role", "family", *SCORED, *SETUP, "first", "second", "metric", "first_value", "second_value", "difference", "low",
    "high", "p", "p_mcnemar", "low_adjusted", "high_adjusted", "p_adjusted", "pairs_in_family", "verdict",
    "weights_only", "n_first", "n_second", "seeds_first", "seeds_second", "n_folds", "n", "n_groups", "method",
)  # fmt: skip
BEST = (
    "section", "test_on", "rows", "tta", "metric", *SETUP, "test_variant", "value", "is_best", "below_best",
    "p_adjusted", "indistinguishable", "pairs_in_family", "n",
)  # fmt: skip
EFFECTS = (
    "question", "metric", "test_on", "difference", "low", "high", "p", "low_adjusted", "high_adjusted", "p_adjusted",
    "questions", "verdict", "pairs", "clusters", "n_seeds", "weights_only", "smallest", "smallest_where", "largest",
    "largest_where", "n", "n_groups", "method",
)  # fmt: skip
OPTIMISM = (
    *SETUP, "split", "seed", "n_seeds", *SCORED, "metric", "counterpart", "oracle", "optimism", "low", "high",
    "weights_only", "method", "n", "n_groups",
)  # fmt: skip
CALIBRATION = (
    *KEYS, "train_on", "variant", "model", "seed", "split", "selection", "is_within", "probabilities", "ece", "ece_low",
    "ece_high", "bins", "nll", "brier", *(name for name, metric in METRICS.items() if metric.compared), "temperature",
    "n", "n_groups", "n_val", "aurc",
)  # fmt: skip
RELIABILITY = (*KEYS, "probabilities", "bin", "n", "confidence", "accuracy", "low", "high")
RISK = (*KEYS, "coverage", "risk")
GROUP = (
    "attribute", "group", "n", "correct", "accuracy", "low", "high", "balanced_accuracy", "n_classes",
    "gap", "gap_low", "gap_high", "is_worst",
)  # fmt: skip
GROUPS = (*KEYS, "train_on", "variant", "model", "seed", "split", "selection", *GROUP)
STATISTICS = {
    "intervals": INTERVALS,
    "seeds": SEEDS,
    "comparisons": COMPARISONS,
    "best": BEST,
    "effects": EFFECTS,
    "optimism": OPTIMISM,
    "calibration": CALIBRATION,
    "reliability": RELIABILITY,
    "risk_coverage": RISK,
    "groups": GROUPS,
}

# ---------------------------------------------------------------- rows of the datasets, their audit, their pictures

LISTED = ("sample_id", "path", "original_path", "label", "dataset", "split", "subject", "photo", *BOX, "confidence")
SHARES = "shares"  # a further column where people voted
DECODED = ("content", "face", "width", "height", "gray", "photo_content", "group")
SAMPLES = (*LISTED, *DECODED, "delivered")
LEFT = ("sample_id", "path", "step", "reason", "label", "split", "content", "face")
REJECTED = (*LEFT, *(name for name in (*LISTED, *DECODED) if name not in LEFT))
NEAR = 'with COPIES = "drop_near" near_group, equal where two faces hang together as near copies'
STEPS = ("step", "removed", "kept")
ATTRIBUTES = ("sample_id", "gender", "race", "age")
METHODS = ("detected", "box", "given crop", "whole picture", "unreadable", "failed")
DETECTION = ("split", "label", "emotion", "n", *METHODS, "rate", "mirrored")
NO_FACE = ("sample_id", "split", "label", "method", "found", "reason")
LABEL_NOISE = ("sample_id", "dataset", "split", "label", "suggested", "self_confidence", "doubtful", "rank")
LABEL_NOISE_MATRIX = ("dataset", "part", "label", "suggested", "estimated", "share_of_label")
AUDIT_COPIES = ("kind", "group", "sample_id", "dataset", "split", "label", "in_use", "similarity")
SIDES = tuple(f"{name}_{side}" for side in ("left", "right") for name in ("dataset", "split", "label"))
NEAR_PAIRS = ("left", "right", "similarity", "mirrored", *SIDES)
QUALITY = ("sample_id", "split", "label", "width", "height", "brightness", "contrast", "sharpness", "flag")
EIGHTH = "contempt where CLASSES = 8"  # in `also` of tables with a column per class
MIX = ("dataset", "split", "n", *EMOTIONS)
DISTANCES = ("left", "right", "n_left", "n_right", "total_variation", "cramers_v", "chi2", "p")
MADE_FROM = ("sample_id", "content", "source")
PICTURE = (*MADE_FROM, "file", "reason", "bytes", "checksum")
CROP = ("crop_left", "crop_top", "crop_right", "crop_bottom")
PREPARED = (*PICTURE, "found", "method", "confidence", *CROP, "angle", "beyond")
EXTRAS = (*PICTURE, "method")

# ---------------------------------------------------------------- across settings

GRID_SETUP = ("train_on", "variant", "model", "mixing", "validated_on")
GRID_FOUND = (
    "in_plan", "metric", "validation_score", "low", "high", "chosen_by_validation", "below_best", "below_best_low",
    "below_best_high", "n_setups", "n_seeds", "n", "weights_only",
)  # fmt: skip
GRID_CLASSES = ("class", "recall", "sd", "n_seeds", "support")
ALL_RUNS = (
    "run", "in_plan", "train_on", "variant", "model", "seed", "split", "rows_hash",
    *(f"val_{name}" for name in VALIDATION_SCORES), "test_score", "epochs", "best_epoch",
    "train_seconds", "finished",
)  # fmt: skip

TRIALS = (
    "trial", "state", "metric", "validation_score", "epochs", "minutes", "chosen_by_validation", "runs", "problem",
)  # fmt: skip
IMPORTANCES = ("setting", "importance", "trials")

# ---------------------------------------------------------------- paper tables, predict.py

JUDGED = ("validation_score", "validated_on", "chosen_by_validation")
SHOWN_SETUP = ("train_on", "variant", "test_variant", "model", "balance", "mixing", "selection")
WIDE = ("section", "rows", *SHOWN_SETUP, *JUDGED)
WIDE_CLASSES = ("section", *SHOWN_SETUP, "test_on", "tta", "rows", "n", *JUDGED)
COSTS = ("parameters", "flops", "train_seconds", "images_per_second", "peak_gpu_mb", "peak_ram_mb", "latency_ms")
COST = ("train_on", "variant", "model", "n", *COSTS)
ANSWER = ("picture", "face", *BOX, "detector_confidence", "label", "probability")
ANSWERS = (*ANSWER, *EMOTIONS, "problem")


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True)
class OutputFile:
    """A file, or several of one pattern, below the output folder: what it or a row of it is; columns of a table.

    `also`: further columns, in words, where their names depend on the study.
    """

    path: str
    what: str
    columns: tuple[str, ...] = ()
    also: str = ""


def _statistics(name: str, what: str) -> OutputFile:
    return OutputFile(f"statistics/{name}.csv", what, (*STATISTICS[name], "sample_data"))


OUTPUT_FILES: tuple[OutputFile, ...] = (
    OutputFile("report.html", "the page: findings, tables, figures"),
    OutputFile("findings.md, findings.csv", "a sentence the study supports, with its numbers", FINDINGS),
    OutputFile(
        "results.csv", "run or vote × test set × test variant × TTA policy; the majority class as baseline", RESULTS
    ),
    OutputFile("validation_results.csv", "the same on validation rows", VALIDATION),
    OutputFile("per_class_results.csv", "row of results.csv × class", CLASSES),
    OutputFile("selection_funnel.csv", "dataset × step from delivered rows to those in use", FUNNEL),
    OutputFile("test_reads.csv", "test set × run that was scored on it", TEST_READS),
    OutputFile(
        "comprehensive_results.csv", "setup; side by side over test sets", WIDE,
        "`<test_on> <tta> <metric>`, the same with `sd`, `low`, `high` of accuracy, balanced_accuracy, macro_f1; "
        "`<test_on> <tta> n`: trainings",
    ),
    OutputFile("tables/*.md, tables/*.tex", "the same, per class and cost, as a paper prints it"),
    OutputFile("tables/per_class.csv", "setup × test set × TTA policy", WIDE_CLASSES,
               "`<class> recall`, `<class> f1`, each with `sd`"),
    OutputFile("tables/cost.csv", "training set × variant × network", COST, "each cost with `sd`"),
    OutputFile("tables/grid.csv", "value of GRID × setup, and over all setups", (*GRID_SETUP, *GRID_FOUND),
               "the value of each axis, named like the setting"),
    OutputFile("tables/grid_classes.csv", "value of GRID × setup × class", (*GRID_SETUP, *GRID_CLASSES),
               "the same; recall on validation rows"),
    OutputFile("tables/all_runs.csv", "finished run, also of earlier plans, by validation", ALL_RUNS,
               "settings in which runs of one kind differ, named like the setting"),
    OutputFile("search/trials.csv", "trial of SEARCH", TRIALS, "the value of each axis, named like the setting"),
    OutputFile("search/importances.csv", "axis of SEARCH, over its complete trials", IMPORTANCES),
    OutputFile("search/search.json, search/chosen.py", "the chosen trial, how optimistic its choice is; as --config"),
    OutputFile("statistics/statements.md, statements.json", "what the comparisons say: a page; all families in words"),
    _statistics("intervals", "row of results.csv × score"),
    _statistics("seeds", "setup × test set × TTA policy × score, over its trainings"),
    _statistics("comparisons", "pair of a family × score"),
    _statistics("best", "row of a paper table × score, against the best of the table"),
    _statistics("effects", "question × score, over all matched pairs"),
    _statistics("optimism", "oracle × score × test set it saw"),
    _statistics("calibration", "scored row × recalibration"),
    _statistics("reliability", "bin of a reliability diagram"),
    _statistics("risk_coverage", "point of a risk–coverage curve"),
    _statistics("groups", "scored row × attribute × group"),
    OutputFile("samples/<dataset>_samples.csv", "face in use", SAMPLES, f"{NEAR}; of FER+ `shares` of its votes"),
    OutputFile("samples/<dataset>_rejected.csv", "face or line not in use", REJECTED, NEAR),
    OutputFile("samples/<dataset>_funnel.csv", "step", STEPS),
    OutputFile("samples/<dataset>_attributes.csv", "face in use, of RAF-DB's original layout", ATTRIBUTES),
    OutputFile("samples/<dataset>_detection.csv", "split × class: how faces were found", DETECTION),
    OutputFile("samples/<dataset>_no_face.csv", "picture in which no face was detected", NO_FACE),
    OutputFile("audit/audit.json", "every count of the audit, its thresholds"),
    OutputFile("audit/copies.csv", "picture that stands twice, exactly or nearly", AUDIT_COPIES),
    OutputFile("audit/near_pairs.csv", "pair of near copies in use", NEAR_PAIRS),
    OutputFile("audit/<dataset>_quality.csv", "picture in use", QUALITY),
    OutputFile("audit/class_mix.csv", "dataset × split (or all)", MIX, EIGHTH),
    OutputFile("audit/class_mix_distances.csv", "pair of splits, or of datasets", DISTANCES),
    OutputFile("audit/label_noise.csv", "picture, with LABEL_NOISE: what networks say that never saw it", LABEL_NOISE),
    OutputFile("audit/label_noise_matrix.csv", "dataset × part × given × suggested label", LABEL_NOISE_MATRIX),
    OutputFile("saved_models/<run>/history.csv", "epoch", HISTORY,
               "oracles: `test_` scores and loss too; fitted classifiers: no memory"),
    OutputFile("saved_models/<run>/run.json", "what shaped the weights, rows per class, cost, versions, hardware"),
    OutputFile("saved_models/<run>/weights.pth", "the kept epoch: state dict, class names, what input it expects"),
    OutputFile(
        "saved_models/<run>/predictions/*.npz", "a scored set: sample_ids, labels int64[N], probabilities float32[N, C]"
    ),
    OutputFile("pretrainings/<pretraining>/history.csv", "epoch without labels", PRETRAINING_HISTORY,
               "supervised: as of a run"),
    OutputFile("pretrainings/<pretraining>/weights.pth", "what runs start from: state dict, what input it expects"),
    OutputFile("pretrainings/<pretraining>/pretraining.json", "what shaped the weights, faces per dataset, minutes"),
    OutputFile("study.json", "the runs of the plan, the settings, which predictions belong to it"),
    OutputFile("cache/figures.json", "figures: section, caption, text in their place, run (fer/figures/manifest.py)"),
    OutputFile("left_out.json, left_out_pictures.json, <audit, tables>/left_out.json", "what was not made, in words"),
    OutputFile("datasets/preprocessed_<dataset>/manifest.csv", "prepared face", PREPARED),
    OutputFile("datasets/augmented_<dataset>/manifest.csv", "extra copy of a rare class", EXTRAS),
    OutputFile("predict.py --save NAME.csv", "face found in a picture (or the picture, without one)", ANSWERS,
               f"of videos `seconds` first; {EIGHTH}"),
)  # fmt: skip
