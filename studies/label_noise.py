"""Label noise of one dataset, and what dropping or down-weighting doubtful training rows does: two CPU cores.

    python main.py --config studies/label_noise.py

RAF-DB, or another one by --set 'ACTIVE_DATASETS=("fer2013",)'. Five networks judge every label without having seen its
face (audit/label_noise.csv, the sheet audit/rafdb_doubtful_labels.png, eda/label_noise.png); then three seeds are
trained with the doubtful training rows kept, dropped, and with a third of their loss. Validation compares the three.

Expected, measured on a part of RAF-DB (1,795 and 428 pictures; docs/results.md): a fifth of all labels doubted by
networks that agree with 70 % of them, and no gain from dropping.
"""

ACTIVE_DATASETS = ("rafdb",)
OUTPUT_DIR = "saidas/label_noise"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)

LABEL_NOISE = "small_residual"
NOISE_FOLDS = 5
GRID = {"DOUBTFUL": ("keep", "drop", 0.3)}

PRETRAINED = False
MODEL_CONFIG = {
    "small_residual": {
        "batch_size": 64, "weights": None, "input_size": 48, "channels": 1, "options": {"widths": [24, 32, 64, 128]},
    },
}  # fmt: skip
ONLINE_AUGMENTATION = "strong"
AUGMENT_ENGINE = "batch"

EPOCHS = 12
OPTIMIZER = "sgd"
LEARNING_RATE = 0.1
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
