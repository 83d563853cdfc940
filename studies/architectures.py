"""Nine networks, equally long: which architecture makes most of about two and a half minutes of one CPU core.

    python main.py --config studies/architectures.py

7,000 training pictures of FER2013 at 48 px, from scratch, three seeds. Every network has the same recipe, and as many
epochs as fit into the same time by the rates of benchmarks/NOTES.md (bf16 on a CPU with AMX, depthwise networks in
fp32); results.csv says the seconds each took. It answers what a student with a laptop should start from. It does not
say which architecture is best with a GPU, pretrained weights and a night.
"""

ACTIVE_DATASETS = ("fer2013",)
OUTPUT_DIR = "saidas/architectures"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)
LIMIT_PER_SPLIT = 7000

PRETRAINED = False
MODEL_CONFIG = {
    "resnet9": {"epochs": 12, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "small_residual": {"epochs": 13, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "simple_cnn": {"epochs": 11, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "tiny_residual": {"epochs": 25, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "squeezenet1_1": {"epochs": 15, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "mobilenetv3_small_050": {"epochs": 11, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "efficientvit_b0": {"epochs": 6, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "convnext_atto": {"epochs": 4, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
    "resnet18": {"epochs": 3, "batch_size": 64, "weights": None, "input_size": 48, "channels": 1},
}
AUGMENTATIONS = {"moved": {"probability": 1.0, "flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1}}
ONLINE_AUGMENTATION = "moved"
AUGMENT_ENGINE = "batch"

OPTIMIZER = "adamw"
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
SCHEDULE = "onecycle"
PATIENCE = None
SELECT_BY = "last"  # the schedule ends at zero; nothing is chosen among epochs
TTA = ("none",)
