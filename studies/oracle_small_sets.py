"""What choosing the epoch on the test set is worth where test sets are small: ten trainings, two datasets.

    python main.py --config studies/oracle_small_sets.py

The recipe of studies/fer2013_leak.py, thirty epochs, five seeds. The optimism (oracle minus its counterpart, whose
epoch is chosen on validation) is a column of results.csv, with its interval over seeds in statistics/optimism.csv.
"""

ACTIVE_DATASETS = ("rafdb", "expw")
OUTPUT_DIR = "saidas/oracle_small_sets"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3, 4, 5)
ORACLE = True

PRETRAINED = False
MODEL_CONFIG = {
    "small_narrow": {
        "architecture": "small_residual", "batch_size": 64, "weights": None, "input_size": 32, "channels": 1,
        "options": {"widths": [24, 32, 64, 128]},
    },
}  # fmt: skip
AUGMENTATIONS = {"slight": {"flip": 0.5, "rotation": 3.6, "zoom": 0.048, "shift": 0.04}}
ONLINE_AUGMENTATION = "slight"
AUGMENT_ENGINE = "batch"

EPOCHS = 30
LEARNING_RATE = 1e-3
PLATEAU_PATIENCE = 2
PATIENCE = None
SELECT_BY = "accuracy"
TTA = ("none",)
