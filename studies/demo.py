"""The demo: the whole pipeline on drawn sample faces, in about three minutes on two CPU cores.

    python main.py --demo

Two sample sets with a real gap between them, two variants, two tiny networks, and their combined
trainings: 12 runs of a few seconds. To look for in its report, where it was measured: the residual network beats
the plain one, augmentation helps it within the studio and on both sets together, each set's networks lose much on
the other, learning from both helps on both. One seed and some hundred faces: it says nothing about real faces.
"""

ACTIVE_DATASETS = ("studio", "wild")
DATASETS = {
    "studio": {
        "path": "saidas/demo/datasets/sample_studio",
        "layout": "rafdb",
        "faces": "whole",
        "sample": True,
    },
    "wild": {"path": "saidas/demo/datasets/sample_wild", "layout": "expw", "faces": "box", "sample": True},
}
DATASETS_DIR = "saidas/demo/datasets"
OUTPUT_DIR = "saidas/demo"

VARIANTS = ("preprocessed", "augmented")
EXPERIMENTS = ("individual", "combined")
FACE_SIZE = 48
MODEL_CONFIG = {
    "tiny_plain": {"batch_size": 32, "weights": None, "input_size": 32, "channels": 1},
    "tiny_residual": {"batch_size": 32, "weights": None, "input_size": 32, "channels": 1},
}
VAL_FRACTION = 0.34  # ten and more validation faces of every class, so that the chosen epoch means something
EPOCHS = 8
LEARNING_RATE = 3e-3
SCHEDULE = "onecycle"
PATIENCE = None
