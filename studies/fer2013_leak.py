"""What FER2013's copies are worth, and what choosing the epoch on the test set is worth.

    for copies in drop keep drop_random; do
        python main.py --config studies/fer2013_leak.py --set COPIES=$copies --set OUTPUT_DIR=saidas/leak_$copies
    done
    python studies/fer2013_leak_table.py saidas/leak_drop saidas/leak_keep saidas/leak_drop_random

Three arms, three seeds each: copies of validation and test pictures leave training; they stay; they stay and as many
others of the same classes leave. A recipe as notebooks have it (AdamW, a learning rate that falls when validation
stalls, flips and small turns), a network small enough for nine trainings on one CPU core. ORACLE keeps, of the same
trainings, the epoch with the best test accuracy as well.
"""

ACTIVE_DATASETS = ("fer2013",)
OUTPUT_DIR = "saidas/leak_drop"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)
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

EPOCHS = 12
LEARNING_RATE = 1e-3
PLATEAU_PATIENCE = 1
PATIENCE = None
SELECT_BY = "accuracy"
TTA = ("none",)
