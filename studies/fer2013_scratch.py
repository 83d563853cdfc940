"""FER2013 from scratch on two CPU cores: one small network, three seeds, copies dropped.

    python main.py --config studies/fer2013_scratch.py

Validation is PublicTest, test is PrivateTest. The network was chosen by short runs on PublicTest alone; schedule and
augmentation were not searched. PrivateTest was scored once, by the three finished runs.

Expected on PrivateTest (n = 3,589), mean ± standard deviation of three seeds: 62.2 ± 0.4 %, with a mirrored view
62.8 ± 0.2 %, with three views 63.2 ± 0.2 %. About 24 minutes of one core a seed. More EPOCHS should raise it: training
accuracy was still rising when the schedule ended. Measured in fp32, with other draws of the same augmentation.
"""

ACTIVE_DATASETS = ("fer2013",)
OUTPUT_DIR = "saidas/fer2013_scratch"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)

PRETRAINED = False
MODEL_CONFIG = {"small_residual": {"batch_size": 128, "weights": None, "input_size": 48, "channels": 1}}
ONLINE_AUGMENTATION = "geometric"  # flips, ±9° rotation, ±12 % scale, ±10 % shift
AUGMENT_ENGINE = "batch"
TRAIN_SIZES = ((0.4, 32), (0.7, 40))  # pixels; the last 30 % of the epochs at 48

EPOCHS = 12
OPTIMIZER = "sgd"
LEARNING_RATE = 0.2
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
DROPOUT = 0.3
TTA = ("none", "flip", "three_views")
