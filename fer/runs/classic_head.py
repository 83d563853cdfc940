"""HEAD = "logistic", "svm" or "xgboost": a classifier that is no network, fitted once on frozen features.

What comes out is a network with that classifier as its head, in the same files as any run: weights.pth holds tensors
only, history.csv a single epoch. Predictions and tables know no difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from data_loader import BatchSource, FaceRows, NetworkInput, make_loader, to_network_input
from evaluation import METRICS, predict
from fer.columns.files import TRAIN_SCORES
from fer.faces.class_shares import class_weights
from fer.machine.precision import autocast_dtype
from fer.networks.heads import Head, HeadPlan, Trees, classifier_of, import_xgboost, put_in_place
from fer.runs.facts import training_facts
from fer.runs.kept_epoch import mean_scores, validation_scores
from fer.runs.run import Run
from fer.runs.trained_network import save_trained
from fer.settings.settings import ModelRow
from model_utils import build_network, own_interpolation
from utils import InputError, derived_seed, write_text

MOST_STEPS = 2000  # of the solvers, which stop by themselves before
FOLDS = 3  # in which an SVM's scores become probabilities (Platt 1999)
ABSENT = -1e4  # logit of a class without a training picture
# XGBoost's own names; half the rate and a third of the depth that its defaults have, for some hundred features.
TREES = {"objective": "multi:softprob", "max_depth": 4, "eta": 0.1, "tree_method": "hist", "nthread": 1}
ROUNDS = 200


def fit_classic(
    run: Run, train: FaceRows, validation: dict[str, FaceRows], folder: Path, device: torch.device, row: ModelRow
) -> dict[str, Any]:
    """Fit the classifier on the features of `train`; leave weights.pth and history.csv in `folder`.

    Returns the facts for run.json. Raises InputError where the classifier cannot be fitted to these rows.
    """
    started = time.perf_counter()
    torch.manual_seed(derived_seed(run.seed))
    network, expected = build_network(run.model, row, run.hyper.classes, run.hyper.weights is not None)
    if run.hyper.interpolation == "model":
        expected = replace(expected, interpolation=own_interpolation(network))
    network = network.to(device).to(memory_format=torch.channels_last)
    features, labels = features_of(network, expected, train, run, device)
    name, _ = classifier_of(network)
    head, plan = FITTED[run.hyper.head](features, labels, run)
    put_in_place(network, name, head.to(device))
    seconds = time.perf_counter() - started
    epoch: dict[str, Any] = {"epoch": 1} | _training_scores(head, features, labels)
    each = [_scores(network, expected, faces, run, device) for faces in validation.values()]
    epoch |= {"images_per_second": len(labels) / seconds} | mean_scores(each)
    epoch |= {"learning_rate": 0.0, "seconds": seconds, "micro_batch": run.hyper.batch_size}
    save_trained(folder / "weights.pth", network, run, expected, plan)
    write_text(folder / "history.csv", pd.DataFrame([epoch]).to_csv(index=False))
    return training_facts([epoch], 1, run.hyper.batch_size)


def features_of(
    network: nn.Module, expected: NetworkInput, faces: FaceRows, run: Run, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """What the network's last layer is given: features float32 [N, F], with labels int64 [N] in the same order."""
    taken: list[torch.Tensor] = []
    layer = classifier_of(network)[1]
    hook = layer.register_forward_pre_hook(lambda _, given: taken.append(given[0].float().cpu()))
    autocast, labels = autocast_dtype(run.hyper.precision), []
    network.eval()
    with torch.inference_mode():
        for chunks in make_loader(BatchSource(faces, run.hyper.batch_size), 0, device.type == "cuda"):
            pixels, truth = to_network_input(chunks, expected, device)
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                network(pixels)
            labels.append(truth.cpu())
    hook.remove()
    return torch.cat(taken).numpy(), torch.cat(labels).numpy()


# ---------------------------------------------------------------- the classifiers, as heads


def _logistic(features: np.ndarray, labels: np.ndarray, run: Run) -> tuple[nn.Module, HeadPlan]:
    """Multinomial logistic regression on standardised features, as the linear layer that it is."""
    model = LogisticRegression(C=run.hyper.head_c, max_iter=MOST_STEPS, class_weight=_class_weight(run, labels))
    scaler, fitted = make_pipeline(StandardScaler(), model).fit(features, labels)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # written for the second of them alone
        weight, bias = np.stack([-weight[0] / 2, weight[0] / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return _linear(weight, bias, fitted.classes_, scaler, run.hyper.classes), HeadPlan()


def _svm(features: np.ndarray, labels: np.ndarray, run: Run) -> tuple[nn.Module, HeadPlan]:
    """Linear support vector machines, one class against the rest, their scores made probabilities out of fold."""
    rarest = np.bincount(labels)[np.unique(labels)].min()
    if rarest < FOLDS:
        raise InputError(
            f'HEAD = "svm" makes probabilities in {FOLDS} parts and a class has {rarest} training pictures. '
            'Use "logistic", or more rows.'
        )
    seed = derived_seed(run.seed) % 2**31
    weight = _class_weight(run, labels)
    model = LinearSVC(C=run.hyper.head_c, class_weight=weight, random_state=seed, max_iter=MOST_STEPS)
    scaler = StandardScaler().fit(features)
    fitted = CalibratedClassifierCV(model, cv=FOLDS, ensemble=False).fit(scaler.transform(features), labels)
    (one,) = fitted.calibrated_classifiers_
    slope = np.array([calibrator.a_ for calibrator in one.calibrators])
    offset = np.array([calibrator.b_ for calibrator in one.calibrators])
    weight, bias = one.estimator.coef_, one.estimator.intercept_
    linear = _linear(-slope[:, None] * weight, -(slope * bias + offset), fitted.classes_, scaler, run.hyper.classes)
    return Head(linear, nn.LogSigmoid()), HeadPlan("svm")


def _xgboost(features: np.ndarray, labels: np.ndarray, run: Run) -> tuple[nn.Module, HeadPlan]:
    xgboost = import_xgboost()
    weight = compute_sample_weight(_class_weight(run, labels), labels)
    rows = xgboost.DMatrix(features, labels, weight=weight)
    told = TREES | {"num_class": run.hyper.classes, "seed": derived_seed(run.seed) % 2**31}
    stored = np.frombuffer(xgboost.train(told, rows, ROUNDS).save_raw("ubj"), np.uint8).copy()
    return Head(Trees(torch.from_numpy(stored), run.hyper.classes)), HeadPlan("xgboost", bytes=len(stored))


FITTED: dict[str, Callable[[np.ndarray, np.ndarray, Run], tuple[nn.Module, HeadPlan]]] = {
    "logistic": _logistic, "svm": _svm, "xgboost": _xgboost,
}  # fmt: skip


def _class_weight(run: Run, labels: np.ndarray) -> dict[int, float] | str | None:
    if run.balance == "weights":
        return "balanced"
    weights = class_weights(run.balance, np.bincount(labels), run.hyper.effective_beta)
    return None if weights is None else {int(label): float(weights[label]) for label in np.unique(labels)}


def _linear(
    weight: np.ndarray, bias: np.ndarray, present: np.ndarray, scaler: StandardScaler, classes: int
) -> nn.Linear:
    """A layer [features, classes] that does what the scaler and then `weight` [present, features], `bias` do."""
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    layer = nn.Linear(weight.shape[1], classes)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(ABSENT)
        layer.weight[present] = torch.from_numpy(weight).float()
        layer.bias[present] = torch.from_numpy(bias).float()
    return layer


# ---------------------------------------------------------------- scores and facts


def _training_scores(head: nn.Module, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    with torch.inference_mode():
        logits = head.cpu()(torch.from_numpy(features))
    probabilities = logits.softmax(1).numpy()
    loss = float(nn.functional.cross_entropy(logits, torch.from_numpy(labels)))
    return {"train_loss": loss} | {f"train_{name}": METRICS[name](labels, probabilities) for name in TRAIN_SCORES}


def _scores(
    network: nn.Module, expected: NetworkInput, faces: FaceRows, run: Run, device: torch.device
) -> dict[str, float]:
    autocast = autocast_dtype(run.hyper.precision)
    found = predict(network, expected, faces, ("none",), run.hyper.batch_size, device, 0, autocast)
    return validation_scores(faces.label, found["none"])
