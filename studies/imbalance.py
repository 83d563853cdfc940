"""What helps rare classes: nine ways to train on one skewed dataset, compared on validation.

    python main.py --config studies/imbalance.py

A study over strategies is one table of GRID: its points stand in tables/grid.csv and, class by class, in
tables/grid_classes.csv and figures/grid/classes.png. ExpW, or another one by --set 'ACTIVE_DATASETS=("rafdb",)'. Much
of the data is kept for validation, which alone compares the points; no epoch is chosen on it.

Measured with 1,156 training pictures: 27 runs, 19 minutes on two busy cores; the numbers are in docs/results.md.
"""

ACTIVE_DATASETS = ("expw",)
OUTPUT_DIR = "saidas/imbalance"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)
VAL_FRACTION = 0.4
TEST_FRACTION = 0.1

BALANCE = "none"
GRID = {
    "STRATEGY": {
        "none": {"BALANCE": "none"},
        "oversample": {"BALANCE": "oversample"},
        "undersample": {"BALANCE": "undersample"},
        "class weights": {"BALANCE": "weights"},
        "effective number": {"BALANCE": "effective_number", "EFFECTIVE_BETA": 0.99},
        "weighted sampler": {"BALANCE": "weighted_sampler"},
        "focal": {"BALANCE": "none", "LOSS": "focal"},
        "logit adjustment 0.5": {"BALANCE": "none", "LOSS": "logit_adjustment", "LOGIT_TAU": 0.5},
        "balanced softmax": {"BALANCE": "none", "LOSS": "balanced_softmax"},  # logit adjustment at 1
    }
}

PRETRAINED = False
MODEL_CONFIG = {
    "small_narrow": {
        "architecture": "small_residual", "batch_size": 32, "weights": None, "input_size": 48, "channels": 1,
        "options": {"widths": [8, 16, 32, 64]},
    },
}  # fmt: skip
ONLINE_AUGMENTATION = "light"
AUGMENT_ENGINE = "batch"

EPOCHS = 8
OPTIMIZER = "sgd"
LEARNING_RATE = 0.1
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
WEIGHT_DECAY = 5e-4
TTA = ("none",)
