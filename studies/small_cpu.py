"""One dataset and one small network from scratch: a whole study on two CPU cores in minutes.

    python main.py --config studies/small_cpu.py

RAF-DB, or another one by --set 'ACTIVE_DATASETS=("fer2013",)'; at most 2,000 rows a split, 48 px, 0.5 M parameters. A
first look at one's data and at all that the pipeline makes of them, not at what the data allow: for that, raise
LIMIT_PER_SPLIT and EPOCHS.

Expected: 3 minutes with 1,614 rows to train on, of which 2.5 for 12 epochs; measured on two cores busy with other work.
On 428 test pictures of a part of RAF-DB that run scored 73.6 % (three views 75.5), majority class 39.7; one seed, so
these weights only.
"""

ACTIVE_DATASETS = ("rafdb",)
OUTPUT_DIR = "saidas/small_cpu"
LIMIT_PER_SPLIT = 2000
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)

PRETRAINED = False
MODEL_CONFIG = {
    "small_residual": {
        "batch_size": 64, "weights": None, "input_size": 48, "channels": 1, "options": {"widths": [24, 32, 64, 128]},
    },
}  # fmt: skip
AUGMENTATIONS = {"moved": {"probability": 0.8, "flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1}}
ONLINE_AUGMENTATION = "moved"
AUGMENT_ENGINE = "batch"  # whole batches at once: the quickest on a CPU

EPOCHS = 12
OPTIMIZER = "sgd"
LEARNING_RATE = 0.1
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
