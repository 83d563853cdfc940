"""Learning from FER2013's training faces without labels first: what is it worth with all labels, and with a tenth?

    uv sync --extra ssl
    python main.py --config studies/pretraining.py

One small network at 32 pixels, six epochs of SimCLR on all training faces (copies of validation and test faces take
no part), then the same training from it and from random weights, with all labels and with 10 % of them; and a
logistic regression on the frozen features of SimCLR and of SimSiam. Measured (SimCLR): docs/results.md.
"""

ACTIVE_DATASETS = ("fer2013",)
OUTPUT_DIR = "saidas/pretraining"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)
TTA = ("none",)

_network = {
    "architecture": "small_residual", "options": {"widths": [24, 32, 64, 128]},
    "channels": 1, "input_size": 32, "batch_size": 128,
}  # fmt: skip
PRETRAININGS = {
    "simclr": {"method": "simclr", "datasets": ("fer2013",), "epochs": 6},
    "simsiam": {"method": "simsiam", "datasets": ("fer2013",), "epochs": 3},
}
_simclr = _network | {"weights": "pretraining:simclr"}
_tenth = {"train_share": 0.1, "epochs": 15}
MODEL_CONFIG = {
    "simclr_10": _simclr | _tenth,
    "scratch_10": _network | _tenth | {"weights": None},
    "simclr_frozen": _simclr | {"head": "logistic"},
    "simclr_frozen_10": _simclr | {"head": "logistic", "train_share": 0.1},
    "simclr_100": _simclr,
    "scratch_100": _network | {"weights": None},
    "simsiam_frozen": _network | {"weights": "pretraining:simsiam", "head": "logistic"},
}

EPOCHS = 3
OPTIMIZER = "sgd"
LEARNING_RATE = 0.1
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
ONLINE_AUGMENTATION = "strong"
AUGMENT_ENGINE = "batch"
