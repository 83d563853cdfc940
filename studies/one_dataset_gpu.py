"""One dataset, three networks with ImageNet weights, three seeds: a study for one GPU of 16 GB.

    python main.py --config studies/one_dataset_gpu.py

RAF-DB, or another one by --set 'ACTIVE_DATASETS=("expw",)'. Ask --check first: it says what is missing, weights
included, and --plan how long it takes on this machine. Not measured by us: no GPU was at hand.
"""

ACTIVE_DATASETS = ("rafdb",)
OUTPUT_DIR = "saidas/one_dataset_gpu"
VARIANTS = ("raw", "preprocessed", "augmented")
EXPERIMENTS = ("individual",)
SEEDS = (1, 2, 3)

MODEL_CONFIG = {
    "resnet50": {"batch_size": 64, "weights": "a1_in1k", "input_size": 224},
    "efficientnet_b0": {"batch_size": 64, "weights": "ra_in1k", "input_size": 224},
    "densenet121": {"batch_size": 48, "weights": "ra_in1k", "input_size": 224},
}
EPOCHS = 30
