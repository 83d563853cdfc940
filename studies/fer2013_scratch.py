"""FER2013 from scratch on two CPU cores: one small network, three seeds, copies dropped.

    python main.py --config studies/fer2013_scratch.py

Validation is PublicTest, test is PrivateTest. Network and schedule were chosen by short runs on PublicTest alone
(docs/from_scratch.md has them, with what did not help); PrivateTest was scored once, by the three finished runs.

Expected on PrivateTest (n = 3,589), mean ± standard deviation of three seeds: 66.1 ± 0.2 %, with a mirrored view
67.1 ± 0.2 %, with ten views, which PublicTest chooses, 67.9 ± 0.5 %; of the 2,778 pictures without an identical or near
copy 64.3 ± 0.2 and 66.1 ± 0.4 %. 36 CPU minutes a seed on a Xeon with AMX (bf16), about 21 minutes of two quiet cores
by the rate of a step; CPUs without AMX take longer. In ten minutes: --set EPOCHS=30 (PublicTest 65.5 % with ten views,
one seed; not scored on PrivateTest).
"""

ACTIVE_DATASETS = ("fer2013",)
OUTPUT_DIR = "saidas/fer2013_scratch"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)

PRETRAINED = False
MODEL_CONFIG = {"resnet9": {"batch_size": 128, "weights": None, "input_size": 48, "channels": 1}}
AUGMENTATIONS = {
    "moved_and_erased": {  # every picture is moved, in one resampling; three of ten lose a rectangle
        "flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1, "erasing": {"range": (0.02, 0.2), "probability": 0.3},
    },
}  # fmt: skip
ONLINE_AUGMENTATION = "moved_and_erased"
AUGMENT_ENGINE = "batch"
TRAIN_SIZES = ((0.5, 32), (0.8, 40))  # pixels; the last fifth of the epochs at 48

EPOCHS = 60
OPTIMIZER = "sgd"
LEARNING_RATE = 0.2
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
WEIGHT_DECAY = 5e-4
WEIGHT_DECAY_ON = "weights"
LABEL_SMOOTHING = 0.1
DROPOUT = 0.3
TTA = ("none", "flip", "shifts", "ten_views")
