"""LEARNING_RATE = "auto": what a run starts with, by what it trains and by its optimizer."""

from __future__ import annotations

from fer.settings.training_values import TrainingValues

# Per optimizer: a whole network from random weights, a pretrained network, a new head on a frozen one.
# Adam's 1e-3 is its authors' (Kingma and Ba 2015), SGD's 0.1 that of residual networks (He et al. 2016); pretrained
# weights tolerate about a tenth of it (Kornblith et al. 2019, best rates of fine-tuning).
RATES = {
    "adam": (1e-3, 1e-4, 1e-3),
    "adamw": (1e-3, 1e-4, 1e-3),
    "sgd": (0.1, 0.01, 0.1),
}


def learning_rate(settings: TrainingValues, pretrained: bool) -> float:
    """The rate in use: the number in the values, or what "auto" means for a run that starts `pretrained` or not.

    With stages it is the first one's.
    """
    if settings.stages:
        return settings.stages[0].learning_rate
    if settings.learning_rate != "auto":
        return settings.learning_rate
    scratch, whole, head = RATES[settings.optimizer]
    if not pretrained:
        return scratch
    return head if settings.freeze == "backbone" else whole
