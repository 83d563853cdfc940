"""Three datasets, three small networks from scratch, three variants: every experiment there is, on a CPU.

    python main.py --config studies/real_faces.py

Individual, combined and leave-one-out trainings, each tested on every dataset, and ensembles of the three networks:
63 runs. A study of the pipeline, not of expression recognition: LIMIT_PER_SPLIT and the small networks keep it
at about half an hour on one core, so its numbers are far from what these datasets allow.
"""

LIMIT_PER_SPLIT = 600
OUTPUT_DIR = "saidas/real_faces"

VARIANTS = ("raw", "preprocessed", "augmented")
EXPERIMENTS = ("individual", "combined", "leave_one_out")
FACE_SIZE = 48  # pixels; the networks below take 48

PRETRAINED = False
MODEL_CONFIG = {
    # a residual CNN with a quarter of ResNet-18's widths
    "resnet10_narrow": {
        "architecture": "resnet10t", "batch_size": 32, "weights": None, "input_size": 48, "channels": 1,
        "options": {"channels": [24, 48, 96, 144]},
    },
    # inverted residuals with squeeze-and-excitation
    "efficientnet_mini": {
        "architecture": "test_efficientnet", "batch_size": 32, "weights": None, "input_size": 48, "channels": 1,
    },
    # 36 tokens of 8 × 8 pixels, four blocks
    "vit_mini": {
        "architecture": "vit_tiny_patch16_224", "batch_size": 32, "weights": None, "input_size": 48, "channels": 1,
        "options": {"patch_size": 8, "depth": 4},
    },
}  # fmt: skip
EPOCHS = 6
LEARNING_RATE = 1e-3
PATIENCE = None
