"""The columns: type, unit and meaning of each, one word for one thing in all files.

Which files have them: fer.columns.files. The page of these is docs/columns.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fer.layouts.emotions import EMOTIONS
from fer.metrics.metrics import METRICS

Kind = Literal["text", "count", "number", "flag"]


@dataclass(frozen=True)
class Column:
    """Columns that mean the same: names, kind ("count": whole numbers; "flag": True or False), unit ("" for none)."""

    names: tuple[str, ...]
    kind: Kind
    unit: str
    meaning: str


def text(names: str, meaning: str, unit: str = "") -> Column:
    """Columns of text; `names` with spaces between."""
    return Column(tuple(names.split()), "text", unit, meaning)


def flag(names: str, meaning: str) -> Column:
    """Columns of True and False."""
    return Column(tuple(names.split()), "flag", "", meaning)


def count(names: str, unit: str, meaning: str) -> Column:
    """Columns of whole numbers."""
    return Column(tuple(names.split()), "count", unit, meaning)


def number(names: str, unit: str, meaning: str) -> Column:
    """Columns of other numbers."""
    return Column(tuple(names.split()), "number", unit, meaning)


COLUMNS: tuple[Column, ...] = (
    # a run, and what it is scored on
    text("run", "folder of the run under saved_models/; or names an ensemble, pooled folds, majority_class"),
    text("test_on", "dataset tested on; a union of several as a+b"),
    text("test_variant", "variant of the pictures tested on; in comparisons.csv \"own\": each side its own"),
    text("tta", "policy of test-time augmentation (TTA)"),
    text("rows", "official, pooled (folds of a repeat together), fold (a part of pooled), or own split"),
    text("section", "kind of experiment: individual, combined, cross, leave_one_out or ensemble"),
    text("train_on", "datasets trained on, joined by +"),
    text("variant", "how the training faces were shown: raw, preprocessed or augmented"),
    text("model", "network or vote; majority_class is the baseline"),
    count("seed", "", "what the training started from"),
    text("balance mixing", "how classes were balanced; how several datasets were mixed"),
    text("selection", "what chose the epoch; oracle: the test set, only to show what that is worth"),
    text("members", "runs that vote in an ensemble, joined by \" / \""),
    count("n_train n_val", "rows", "training rows before balancing; validation rows (temperatures are fitted to)"),
    count("n_test n_rows", "rows", "test rows scored; validation rows scored"),
    count("n_classes", "", "classes present among the rows scored"),
    text("classes_shared", "classes that both the training and the test rows have, with spaces between"),
    count("limit_per_split", "rows", "LIMIT_PER_SPLIT; empty: none"),
    flag("sample_data", "True where drawn faces are part of the row"),
    # scores
    *(number(name, "" if name == "cohen_kappa" else "share", metric.meaning) for name, metric in METRICS.items()),
    number("precision recall f1 auc", "share", "of one class; empty where it has no row; AUC one against the rest"),
    text("class", "the emotion a row is about"),
    count("support", "rows", "rows of this class"),
    number("tta_gain", "share", "accuracy minus that of the same run and pictures without TTA"),
    number("optimism", "share", "score of an oracle on a test set it saw, minus that of its counterpart"),
    number("accuracy_without_copies accuracy_copies", "share", "on rows without, and with, a copy in train or val"),
    number("accuracy_confident", "share", "on rows whose label LABEL_NOISE does not doubt; empty without it"),
    count("n_without_copies n_copies n_confident n_without_near_copies", "rows", "how many rows these are"),
    number("accuracy_without_near_copies", "share", "on rows without a copy and without a near copy there"),
    count("n_near_copies", "rows", "of those without an identical copy, how many have a near copy there"),
    # cost of a training
    count("epochs best_epoch", "", "epochs trained; the kept one"),
    number("train_seconds", "s", "training without scoring"),
    number("images_per_second", "1/s", "training pictures a second, the median over epochs"),
    number("peak_gpu_mb peak_ram_mb", "MiB", "most allocated on the GPU (empty: none); by which the process grew"),
    count("parameters flops", "", "of the network; operations for one picture; of a vote their sum"),
    number("latency_ms", "ms", "one picture at a time"),
    # numbers with their certainty
    text("metric", "the score a row is about"),
    number("value mean", "share", "the score; its mean over trainings"),
    number("sd min max", "share", "standard deviation, lowest and highest over trainings; no sd of a single one"),
    number("low high", "share", "95 % interval of the number beside it, for itself alone"),
    text("method", "how interval and p are made"),
    count("n", "rows", "rows the number is of; in seeds.csv and tables/ how many trainings"),
    count("n_groups", "", "groups of identical or related pictures among these rows, which are resampled together"),
    count("n_seeds n_repeats n_folds n_setups", "", "over how many the mean is taken"),
    text("seeds folds", "which ones; in findings.csv how many seeds"),
    flag("is_oracle", "True where the epoch was chosen on the test set"),
    number("counterpart oracle", "share", "score of the epoch chosen on validation; of that chosen on test"),
    flag("weights_only", "True: under three seeds a side, so about these trained networks alone"),
    # comparisons
    text("role", "primary (declared before the run, see docs/science.md) or exploratory"),
    text("family", "models, ensembles, variants, training sets, TTA or models over data sets"),
    text("first second", "the two compared"),
    number("first_value second_value", "share", "their mean scores on the shared rows"),
    number("difference", "share", "first minus second; in effects.csv the mean over matched pairs"),
    number("p p_mcnemar", "probability", "p of the pair alone; exact McNemar's, where each side is one network"),
    number("low_adjusted high_adjusted p_adjusted", "", "the same, corrected for all compared; verdicts follow"),
    count("pairs_in_family questions", "", "how many are corrected together"),
    text("verdict", "what is shown at 5 %, or \"no difference shown\""),
    count("n_first n_second seeds_first seeds_second", "", "trainings and seeds of each side"),
    flag("is_best indistinguishable", "the best of its table; cannot be told from it (bold)"),
    number("below_best below_best_low below_best_high", "share", "score of the best minus this one; its interval"),
    text("question", "what is asked: does preprocessing, augmentation, … help"),
    count("pairs clusters", "", "matched pairs; those that share a training count as one cluster"),
    number("smallest largest", "share", "the extreme means over test sets"),
    text("smallest_where largest_where", "where these are"),
    # calibration
    flag("is_within", "True where the run was trained on what it is tested on"),
    text("probabilities", "as trained, temperature, prior corrected, or both"),
    number("ece ece_low ece_high", "share", "expected calibration error (bins of equal count), 95 % interval"),
    count("bins bin", "", "how many bins; which one, from the least confident"),
    number("nll brier", "", "negative log-likelihood in nats; Brier score, 0 to 2"),
    number("temperature", "", "fitted on validation rows; of pooled folds the mean"),
    number("aurc", "", "area under the risk–coverage curve"),
    number("coverage risk", "share", "rows answered when the least confident abstain; errors among these"),
    # groups of people and pictures
    text("attribute", "what tells the groups apart: shipped with the dataset, or face_size, brightness, sharpness"),
    count("correct", "rows", "rows answered rightly"),
    number("gap gap_low gap_high", "share", "accuracy minus that of the best group; interval for all pairs at once"),
    flag("is_worst", "the lowest group, shown to lie below the best"),
    # findings
    text("rule sentence short", "which rule found it; the finding; the same in a line"),
    text("strength", "shown, not shown, score, count or limit"),
    text("see", "section of report.html with the evidence"),
    number("estimate", "share", "the score or difference the sentence is about"),
    # rows of the datasets
    text("sample_id", "dataset/path of a picture, with #face where it holds several rows, +aug<k> for an extra copy"),
    text("path original_path", "picture as delivered; whole photo it was cut from; both below the dataset's folder"),
    count("label delivered", "", "in use; delivered: 0 angry to 6 neutral, 7 contempt; -1 all"),
    text("dataset", "row of DATASETS in config.py"),
    text("split", "train, val or test; of a run: official or its fold(s)"),
    text("subject photo", "who is shown, on which photo, as far as the dataset tells"),
    number("box_left box_top box_right box_bottom", "px", "face box as delivered"),
    number("confidence", "", "of the dataset in its box; of the detector; in reliability.csv of the network"),
    text("content photo_content", "hash of the decoded picture; checksum of the photo's file"),
    text("face", "content, and the box where one is given"),
    count("width height", "px", "of the delivered face"),
    flag("gray", "its three channels are equal"),
    text("group", "number of rows that stay together; in groups.csv the group of the attribute"),
    text("step reason", "the step in which rows left; why"),
    count("removed kept", "rows", "rows that left in a step, and that remain"),
    text("found", "a face was found or given: of a row True or False, of a step how many rows"),
    text("gender race age", "as RAF-DB ships them; empty where unknown"),
    # preparing
    text("emotion", "name of the class, or all"),
    count("detected", "rows", "of n, faces found by the detector"),
    Column(("box", "given crop", "whole picture"), "count", "rows", "of n, what was used where none was found"),
    count("unreadable failed", "rows", "of n, pictures that could not be prepared"),
    number("rate", "share", "detected, of those in which faces were looked for"),
    count("mirrored", "", "crops that reach beyond their picture; in near_pairs.csv True for mirrored copies"),
    text("source file", "what a picture was made from; where it lies in this folder, empty for none"),
    text("bytes checksum", "size and checksum of that file"),
    number("crop_left crop_top crop_right crop_bottom", "px", "square cut out, before turning"),
    number("angle", "°", "by which the face was turned to level the eyes"),
    number("beyond", "share", "of the crop that lies outside its picture, shown mirrored"),
    # audit
    text("kind", "exact or near"),
    flag("in_use in_plan", "False where the row left; False for what only compares settings or is of another plan"),
    number("similarity", "", "correlation of detail, to the nearest copy; 1 for identical pictures"),
    text("left right", "the two that are compared"),
    text("dataset_left split_left label_left dataset_right split_right label_right", "of each of the two"),
    text("part", "train and val, or test: what is judged apart"),
    count("suggested rank", "", "the label the networks find most probable; 1: the most doubtful of its dataset"),
    number("self_confidence", "share", "probability the networks give to the label"),
    flag("doubtful", "cleanlab calls the label an issue"),
    number("estimated", "rows", "of this given label, how many truly are of the suggested one, as estimated"),
    number("share_of_label", "share", "the same, of all rows of the given label"),
    number("brightness contrast", "0 to 255", "mean and standard deviation of the gray levels"),
    number("sharpness", "", "standard deviation of the Laplacian over the contrast"),
    text("flag", "blank, small, dark, blurred, or empty"),
    Column(EMOTIONS, "number", "share", "of this class among the rows; in predict.py's table its probability"),
    count("n_left n_right", "rows", "rows of each of the two"),
    number("total_variation cramers_v", "0 to 1", "share of rows that would have to change class; effect size"),
    number("chi2", "", "statistic of the test of equal mixes"),
    # others
    text("first_scored finished", "when the run was first scored on the test set; when it was trained", "UTC"),
    number("validation_score test_score", "share", "PRIMARY_METRIC on validation, which sorts tables; on test"),
    text("validated_on", "the datasets of that validation"),
    flag("chosen_by_validation", "the row validation chooses (†)"),
    text("rows_hash", "of training and validation rows: scores compare where it is the same; of a fold \"folds\""),
    count("epoch", "", "from 1"),
    number("train_accuracy train_macro_precision train_macro_recall train_macro_f1", "share", "on its batches"),
    number(
        "val_accuracy val_balanced_accuracy val_macro_precision val_macro_recall val_macro_f1", "share",
        "on validation rows, after the epoch",
    ),
    number("train_loss val_loss", "nats", "mean cross-entropy of the epoch, with label smoothing"),
    number("loss", "", "mean over the batches of an epoch without labels, by its method's own loss"),
    number("feature_spread", "", "of features of length 1: deviation × root of their number; near 0: all faces alike"),
    number("learning_rate", "", "of the epoch's last step"),
    number("seconds", "s", "of the epoch, validation included"),
    count("micro_batch", "rows", "rows at a time; fewer than the batch after an out-of-memory"),
    text("picture", "path as given"),
    number("detector_confidence probability", "share", "of the face detector; of the answer"),
    text("problem", "why there is no answer, or what ended a trial; empty where there is nothing to tell"),
    count("trial trials", "", "number of a trial of SEARCH, from 0; how many trials a number is of"),
    text("state", "complete; pruned: ended early, behind the median; failed; running"),
    number("minutes", "min", "of a trial's epochs, by the clock"),
    text("runs", "folders of a trial's runs, joined by \" / \""),
    text("setting", "an axis of SEARCH"),
    number("importance", "share", "of the variance of scores that the setting explains (fANOVA)"),
)  # fmt: skip


def described() -> dict[str, Column]:
    """The columns by name."""
    return {name: column for column in COLUMNS for name in column.names}


def of_kind(kind: Kind, names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that are of a kind, in their order."""
    known = described()
    return tuple(name for name in names if known[name].kind == kind)
