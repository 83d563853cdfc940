"""The four recipes of config.py on a small set, from the same face pretraining: what each is worth.

    python main.py --config studies/recipes.py

1,600 training pictures of a RAF-like set, resnet9 at 48 px, three seeds. Three recipes start from resnet9 as it
learned FER2013 with labels (made once, copies of held-out pictures left out); `from_scratch_small` starts from
nothing and trains for 30 epochs. Validation keeps the epoch where a recipe lets it.
"""

ACTIVE_DATASETS = ("rafdb",)
OUTPUT_DIR = "saidas/recipes"
VARIANTS = ("raw",)
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)

PRETRAININGS = {"faces": {"method": "supervised", "datasets": ("fer2013",), "epochs": 8}}
MODEL_CONFIG = {
    name: {"architecture": "resnet9", "recipe": name, "batch_size": 64, "input_size": 48, "channels": 1} | more
    for name, more in {
        "baseline": {"weights": "pretraining:faces"},
        "finetune": {"weights": "pretraining:faces"},
        "linear_probe": {"weights": "pretraining:faces"},
        "from_scratch_small": {"weights": None, "epochs": 30},
    }.items()
}
AUGMENTATIONS = {"moved": {"probability": 0.8, "flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1}}
ONLINE_AUGMENTATION = "moved"
AUGMENT_ENGINE = "batch"
TTA = ("none",)
