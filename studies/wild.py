"""One small network for faces from elsewhere: from scratch, on three datasets together, on two CPU cores.

    python main.py --config studies/wild.py
    python predict.py --output saidas/wild --model best --tta ten_views --image PICTURES

Aim: mean per-class accuracy on pictures of no dataset. Validation and test rows and all their identical copies take
no part; the test rows score it within its own datasets, and leave-one-out trainings say what to expect elsewhere:

    python main.py --config studies/wild.py --set "EXPERIMENTS=('leave_one_out',)" --set OUTPUT_DIR=saidas/wild_left_out

One seed, one view / ten views: mean per-class accuracy 64.8 / 66.4 % on the test rows of its own three sets
(n = 4,446); left out and after 20 epochs the RAF-like set 56.4 / 53.1 % (n = 428), the ExpW-like one 54.0 / 55.3 %
(n = 429). Expect the latter elsewhere (docs/from_scratch.md). 45 CPU minutes on a Xeon with AMX, about 26 of two quiet
cores by the rate of a step.
"""

EXPERIMENTS = ("combined",)
OUTPUT_DIR = "saidas/wild"
VARIANTS = ("preprocessed",)
CONFLICTS = "majority"

FACE_SIZE = 48
# FER2013's framing and light, since most training faces are from there: MTCNN's box is as large as its pictures (median
# 1.04 times their side, 251 faces found in 300 pictures), and its histograms are flat
CROP_MARGIN = 0.0
CONTRAST = "equalised"

PRETRAINED = False
MODEL_CONFIG = {"resnet9": {"batch_size": 128, "weights": None, "input_size": 48, "channels": 1}}
AUGMENTATIONS = {
    "any_camera": {  # every picture is moved, in one resampling; some are blurred, some lose a rectangle
        "flip": 0.5, "rotation": 12, "zoom": 0.15, "shift": 0.1,
        "blur": {"range": (0.005, 0.015), "probability": 0.2},
        "erasing": {"range": (0.02, 0.2), "probability": 0.3},
    },
}  # fmt: skip
ONLINE_AUGMENTATION = "any_camera"
AUGMENT_ENGINE = "batch"
TRAIN_SIZES = ((0.5, 32), (0.8, 40))  # pixels; the last fifth of the epochs at 48

LOSS = "logit_adjustment"  # mean per-class accuracy is the aim: FER2013 has 16 times as many happy faces as disgusted
EPOCHS = 60
OPTIMIZER = "sgd"
LEARNING_RATE = 0.2
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"
WEIGHT_DECAY = 5e-4
WEIGHT_DECAY_ON = "weights"
LABEL_SMOOTHING = 0.1
DROPOUT = 0.3
TTA = ("none", "flip", "shifts", "ten_views")
PRIMARY_METRIC = "balanced_accuracy"
