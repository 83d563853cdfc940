"""The one file to edit. Then `python main.py`; `python main.py --check` says what it makes of these values.

Each comment says unit, range and why. Folders are relative to the folder of this file.
A value left out has the default shown here: a study file (`--config studies/mine.py`) names what differs.
One value for one command: `python main.py --set EPOCHS=5 --set MODEL_CONFIG.resnet50.batch_size=32`.
"""

# ---------------------------------------------------------------- data

ACTIVE_DATASETS = (  # which rows of DATASETS take part; put # before a line to leave one out
    "rafdb",
    "expw",
    "fer2013",
)

# One row a dataset. Beside the three entries below, optional:
#   "min_confidence": 0 or more, ExpW only: boxes whose detector was less sure are rejected (0 keeps all)
#   "subject": a pattern with one group that finds the person in a file name (CK+48: r"(S\d+)_"); the rows of one
#   person then stay in one split, except where the official splits separate them
#   "classes": layouts "folders", "train_folders", "csv", "parquet" only: their names for the expressions, as in
#   {"1": "surprise", "contempt": None} (None: left out), or the numbers of "rafdb", "fer2013", "affectnet", "ckplus"
#   "columns": layouts "csv" and "parquet" only: its headers, as in {"path": "img", "label": "y"}
#   "table": layout "csv" only: which CSV of several
#   "contempt": layouts "ferplus", "affectnet", "ckplus": left out if this is; the expression it counts as, as in
#   "disgust"; or "contempt": a class of its own, the eighth of CLASSES
#   "vote_rule": layout "ferplus" only: "majority", the official rule, if left out; "argmax", plain: other test sets
#   "angles": layout "kdef" only: of "FL", "HL", "S", "HR", "FR" (full left to right); ("S",), straight, if left out
#   "last_frames": layouts "ckplus" (sequences: up to the peak) and "mmi" (around the middle of a clip): so many frames,
#   1 to 100, take the label; 3 if left out
#   "neutral_frame": the same: True, as if left out, takes the first frame of each labelled sequence as neutral
#   "every_frame": layout "affwild2" only: one frame in so many, 1 or more; 30, about one a second, if left out
#   "role": "train" if left out; "test": only ever tested on, whatever its size: its official test rows, or all rows
#   where there are none; "unlabelled": for pretraining alone, no labels needed (layout "pictures": any folder of them)
#   "source": "kaggle:owner/name", "huggingface:owner/name" or "huggingface:owner/name@revision": what --download
#   fetches; the known one, if left out
#   "sample": True marks drawn faces; every number made from them then says "sample data"
DATASETS = {
    # path: the folder as its owner ships it
    # layout: "rafdb", "expw", "fer2013" (each in its usual downloads), "folders": train/<class>/…,
    # "csv": a table with the columns path and label, "parquet": pictures and labels in tables, as Hugging Face's
    # dataset repositories hold them (`uv sync --extra parquet`), "pictures": no labels, "train_folders": <class>/… to
    # learn from only (generated faces), "ferplus", "fer2013_resplit" (Kaggle's
    # jonathanoheix), "affectnet", "affwild2", "jaffe", "kdef", "ckplus", "mmi" (persons are known from file names)
    # faces: "whole" = find the face; "box" = a label file gives its box; "cropped" = the picture is the face
    "rafdb": {"path": "datasets/RAF-DB", "layout": "rafdb", "faces": "whole"},
    "expw": {"path": "datasets/ExpW", "layout": "expw", "faces": "box"},
    # cropped: detectors lose most of its 48-pixel faces
    "fer2013": {"path": "datasets/FER2013", "layout": "fer2013", "faces": "cropped"},
}

# 7: angry, disgust, fear, happy, sad, surprise, neutral; 8: contempt too, in every network of the study, though only
# datasets whose row keeps it ("contempt" above; in "classes": {"7": "contempt"}) have pictures of it
CLASSES = 7

DATASETS_DIR = "datasets"  # where preprocessed_<name>/ and augmented_<name>/ are written
OUTPUT_DIR = "saidas"  # everything else that is made: weights, predictions, tables, figures

# ---------------------------------------------------------------- splits: made once, shared by every run

SPLIT_SEED = 42  # 0 or more; moves the splits and the offline copies, and nothing else
VAL_FRACTION = 0.1  # above 0, below 0.5, of the training rows; only where no official validation set exists
TEST_FRACTION = 0.2  # above 0, below 0.5, of all rows; only where no official test set exists (ExpW)
# "drop": exact copies of validation and test pictures leave training; "drop_near": near copies too (mirrored, resized,
# encoded again), and no split drawn here parts them; "keep": all stay; "drop_random": they stay and as many others of
# the same classes leave: the control that shows what the copies, not their number, are worth
COPIES = "drop"
# Identical training pictures with different labels (FER2013 has 57 such groups): "keep", "drop" all of them, or
# give all the label that the "majority" of them has (no majority: dropped). Test rows are never touched
CONFLICTS = "keep"
# Datasets without an official test set (ExpW) can be split otherwise; others keep theirs. "official": once, as above;
# "kfold": FOLDS parts, each tested on once, REPEATS times over; "repeated": TEST_FRACTION, drawn REPEATS times;
# "subjects": leave one person out, for small lab sets (their row of DATASETS needs "subject", see there)
SPLITS = "official"
FOLDS = 5  # 2 to 100
REPEATS = 1  # 1 to 100
LIMIT_PER_SPLIT = None  # rows, 7 or more: a stratified subset for trying things out; None = all
# How doubtful each label is: the row of MODEL_CONFIG whose network says so, trained NOISE_FOLDS times on each dataset,
# each time without the rows it is asked about; None = not asked. Needs `uv sync --extra noise`. Into audit/: every
# row, the most doubtful faces; and a column of scores on test rows that are not doubted. Test labels never change
LABEL_NOISE = None
NOISE_FOLDS = 5  # 2 to 100

# ---------------------------------------------------------------- what to train and to test

# "raw": the face as delivered; "preprocessed": found, aligned, cropped, gray;
# "augmented": preprocessed, with extra changed copies of rare classes on disk
VARIANTS = ("preprocessed", "augmented")
# "same": as trained (for "augmented": preprocessed, test faces are never changed). "raw", "preprocessed": on
# these as well, for instance to see what preprocessing of the training pictures alone is worth
TEST_VARIANTS = ("same",)
# Of a dataset that a network was not trained on: "test" = its test set; "all" = and all its rows as one larger test
# set, <dataset>@all in tables, without pictures that stand in a dataset the network was trained on
CROSS_TEST = "test"
# Every trained network is tested on every active dataset. "individual": one training per dataset; "combined": one on
# several together (two or more); "leave_one_out": on all but one, for each one (three or more). With fewer datasets
# active these two have nothing to do
EXPERIMENTS = ("individual", "combined")
COMBINATIONS = ()  # combined: which sets, as in (("rafdb", "expw"), ("rafdb", "fer2013")); () = all active ones
MIXING = ("natural",)  # combined: "natural" = every row once an epoch; "balanced" = as many from each dataset; or both
SEEDS = (42,)  # each 0 or more, one training each; three or more before saying one model beats another
# Values to compare in one plan, by name: {"LEARNING_RATE": (1e-3, 1e-4), "MODEL_CONFIG.resnet50.dropout": (0.0, 0.3)}
# trains every combination (100 at most). Rows that set several values at once stand under a name of one's own:
# {"STRATEGY": {"none": {"BALANCE": "none"}, "focal": {"BALANCE": "none", "LOSS": "focal"}}} (studies/imbalance.py).
# Validation compares them ("Across settings" of the report); tables, figures and the test set see one: the value below
# where it is among them, else the first
GRID: dict = {}
# Values to look for (`uv sync --extra search`), by name as in GRID: choices, or a range, whole where its ends are
# whole; "log": True draws by size, "step" in steps: {"LEARNING_RATE": {"low": 1e-4, "high": 1e-1, "log": True},
# "DROPOUT": (0.0, 0.2, 0.4)}. `python main.py` then trains trials in place of the study, suggested by what scored well
# before (TPE) and ended early where they lag behind (the median), by validation alone: no test set is read, whatever
# EVALUATE_TEST says. The same command, started again or several times, works on the same search (docs/search.md)
SEARCH: dict = {}
SEARCH_TRIALS = 50  # points to look at, 1 or more; raising it continues. TPE needs some tens to beat chance
# Where trials are noted: None = a file in saidas/search/ (one computer); "postgresql://user@host/database" for workers
# on several, which share OUTPUT_DIR; its password is best left to PGPASSWORD or ~/.pgpass
SEARCH_STORAGE = None

# ---------------------------------------------------------------- preprocessing

FACE_SIZE = 224  # pixels a side, 16 to 1024, of prepared faces; 224 is what the ImageNet weights expect
CROP_MARGIN = 0.2  # 0 to 1, of the box's longer side, added to it: brows, chin and jaw carry expression
ALIGN = True  # turn the face until the eyes are level
GRAYSCALE = True  # one gray channel: FER2013 has no colour, so colour would give the dataset away
# "equalised": every brightness as frequent in a prepared face as any other, as FER2013 delivers its faces; dark, flat
# or glaring photos then look like them. For networks that learn from FER2013 and are to see others (studies/wild.py)
CONTRAST = "as_delivered"
FACE_POLICY = "box"  # of several faces: "largest", "central", or "box" = fits the given box (none given: central)
NO_FACE = "keep"  # none found: "keep" the box or the whole picture; "reject" the row, in training only
DETECTION_THRESHOLD = 0.9  # above 0, below 1: how sure MTCNN must be; lower finds more, faces or not
SAVE_FORMAT = "png"  # "png" is exact; "jpeg" (quality 95) takes about a third of the disk

# ---------------------------------------------------------------- imbalance and augmentation

# Training rows only, per variant; one text for all variants works too.
# "none"; "oversample" to the largest class; "undersample" to the smallest; in the loss: "weights" (inverse frequency),
# "effective_number" (EFFECTIVE_BETA); "weighted_sampler": as many draws as rows, with replacement, every class equally
# likely. LOSS below knows two more ways; GRID compares them (studies/imbalance.py)
BALANCE = {"raw": "none", "preprocessed": "none", "augmented": "oversample"}
# Sets of random changes, by name; a set of one's own is one more row. "flip": how often a picture is mirrored. Then,
# with the row's "probability" (1.0 if left out), each of its transforms ("apply": "each", if left out) or one of them
# ("one": zoom with shift and crop count as one, brightness with contrast too), its ranges times "strength" (0 to 2).
# A transform is drawn from -n to n for a number n, from low to high for (low, high), and where each is applied it may
# act on some pictures only: "rotation": {"range": 10, "probability": 0.5}
#   rotation: degrees, to 45; zoom: share of the size, to 0.5; shift: share of the side, to 0.5, along both; crop: the
#   same in whole pixels (pad and crop), the quickest; perspective: about how far corners move, of the side, 0 to 0.2
#   brightness, contrast: to 1; gamma: exponent 1 ± n, to 0.9; blur: of the side, 0 to 0.1; noise: of white, 0 to 0.5
#   holes: side of one to three black rectangles, share of the picture's, 0 to 0.5
#   erasing: area of one rectangle of noise (Random Erasing), share of the picture's, 0 to 0.3
AUGMENTATIONS = {
    "light": {  # for offline copies: every copy differs from its source
        "apply": "one", "probability": 1.0, "strength": 1.0, "flip": 0.5,
        "rotation": 8, "zoom": 0.06, "shift": 0.05, "brightness": 0.15, "contrast": 0.15, "gamma": 0.2,
        "blur": (0.005, 0.011), "noise": (0.01, 0.03),
    },
    "strong": {  # probability below 1, so that faces are also seen as the test shows them
        "apply": "one", "probability": 0.8, "strength": 1.0, "flip": 0.5,
        "rotation": 15, "zoom": 0.12, "shift": 0.08, "brightness": 0.3, "contrast": 0.3, "gamma": 0.4,
        "blur": (0.006, 0.017), "noise": (0.02, 0.06), "perspective": (0.02, 0.05), "holes": (0.06, 0.16),
    },
    # for small networks from scratch: every picture is moved, in one resampling
    "geometric": {"flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1},
}  # fmt: skip
# Drawn anew for every picture in every epoch: "none" or a row of AUGMENTATIONS
ONLINE_AUGMENTATION = {"raw": "none", "preprocessed": "none", "augmented": "strong"}
OFFLINE_AUGMENTATION = "light"  # the row that changes the extra copies on disk of variant "augmented"
AUGMENT_ENGINE = "albumentations"  # online; "batch": whole batches on the device, about twice as fast, other draws

# ---------------------------------------------------------------- models

# One row a network: any name of timm or torchvision, or a short one (python main.py --models lists them), with
#   batch_size: pictures a step; these fit a 16 GB GPU at 224 pixels. It is lowered where memory runs out
#   weights: the tag of timm's pretrained weights, spelled out since timm's default may change;
#            None = random start for this row; can be left out with PRETRAINED = False; "pretraining:faces" = as the
#            row "faces" of PRETRAININGS says
#   input_size: pixels a side, 16 to 1024; a ViT's is part of its name
# and where needed "channels": 1 (else 3), "weights_file": "my.pth" in place of weights (or beside them: the file of
# that tag, fetched elsewhere), "options": {…} for timm.create_model, and "architecture": the timm name, when the row
# is called otherwise. Any value from PRETRAINED to SELECT_BY below may stand in a row, in small letters, for its
# network alone ("learning_rate": 3e-4, "epochs": 20), and "recipe": one of RECIPES.
MODEL_CONFIG = {
    "resnet50": {"batch_size": 64, "weights": "a1_in1k", "input_size": 224},
    "efficientnet_b0": {"batch_size": 64, "weights": "ra_in1k", "input_size": 224},
    "densenet121": {"batch_size": 48, "weights": "ra_in1k", "input_size": 224},  # keeps all its feature maps
    "vit_small_patch16_224": {"batch_size": 64, "weights": "augreg_in21k_ft_in1k", "input_size": 224},
}
# Values of a training that go together, by name. The later wins: the values below < the recipe < a row's own.
# Rows named here stand beside these four
# Measured: accuracy on 428 RAF-like test faces, three seeds, from weights that knew FER2013 (studies/recipes.py)
RECIPES = {
    # these defaults, to compare others with. Measured: 74.8 ± 1.2 %
    "baseline": {"optimizer": "adamw", "learning_rate": "auto", "schedule": "plateau", "patience": 10},
    # pretrained weights, all of them trained a little: a few thousand faces or more. Measured: 75.2 ± 0.7 %
    "finetune": {
        "pretrained": True, "optimizer": "adamw", "learning_rate": 2e-4, "layer_decay": 0.75, "schedule": "cosine",
        "warmup_epochs": 3, "patience": None, "epochs": 30, "weight_decay": 0.05, "weight_decay_on": "weights",
        "gradient_clip": 1.0, "label_smoothing": 0.1,
    },
    # a small network from random weights on small faces. Measured with resnet9, train_sizes and augmentation by the
    # batch engine (studies/fer2013_scratch.py): 67.9 ± 0.5 % on FER2013's PrivateTest, ten views, three seeds
    "from_scratch_small": {
        "pretrained": False, "optimizer": "sgd", "learning_rate": 0.2, "schedule": "onecycle", "patience": None,
        "epochs": 60, "weight_decay": 5e-4, "weight_decay_on": "weights", "label_smoothing": 0.1, "dropout": 0.3,
        "select_by": "last",
    },
    # the head alone on frozen features: what the weights know of faces already. Measured: 71.6 ± 0.8 %
    "linear_probe": {
        "pretrained": True, "freeze": "backbone", "optimizer": "adamw", "learning_rate": 1e-3, "epochs": 20,
    },
}  # fmt: skip
RECIPE = None  # one of RECIPES for every network whose row names none; None = the values below
# Networks that first learn from faces: a row is a pretraining, and rows of MODEL_CONFIG start from it by
# "weights": "pretraining:faces". Made once for each network and variant, kept in saidas/pretrainings/, as in
#   {"faces": {"method": "simsiam", "datasets": ("fer2013", "expw"), "epochs": 100}}
# method: "simclr", "simsiam", "byol", "swav" without labels (uv sync --extra ssl), or "supervised" with them
# datasets: one or several rows of DATASETS, active or not; validation and test rows and their copies take no part
# epochs: passes over them; also "batch_size" (256), "learning_rate" ("auto"), "weight_decay", "weights" to start from
#   itself (None), "seed" (0) and "crop" (0.3: smallest share of the face that a view shows, without labels)
PRETRAININGS: dict = {}
PRETRAINED = True  # False: every model starts from random weights, and nothing is fetched
# Above 0, at most 1: this share of the training rows of each class, drawn by the run's seed; validation and
# pretraining keep all rows. "train_share": 0.1 in a row of MODEL_CONFIG shows what a tenth of the labels is worth
TRAIN_SHARE = 1.0
# What keeps its starting weights: "none"; "backbone" trains the new head only: fast, weaker; {"last_layers": 20} trains
# the head and the 20 layers before it, {"last_blocks": 2} the last two blocks (residual or transformer blocks)
FREEZE = "none"
FREEZE_BATCH_NORM = False  # True keeps every BatchNorm as it started: for small batches on pretrained weights
# Where torchrun starts several processes: True normalises a batch by the pictures of all of them, as one process does,
# so that the run is the same; False by each one's own share, which saves an exchange a layer and is another run
SYNC_BATCH_NORM = True
# Unfreezing step by step, in place of FREEZE and LEARNING_RATE; optimizer and schedule begin anew in each stage:
# ({"epochs": 3, "freeze": "backbone", "learning_rate": 1e-3}, {"epochs": 12, "freeze": "none", "learning_rate": 1e-5});
# together they take EPOCHS. () = one stage
STAGES = ()
DROPOUT = 0.0  # 0 up to below 1, before the head; 0.2 to 0.5 where training runs away from validation
DROP_PATH = 0.0  # 0 up to below 1, usual 0.1: how often a block is skipped in training (stochastic depth)
INTERPOLATION = "bilinear"  # how pictures are enlarged; "model" = as for the weights (mostly bicubic, slower)
# "linear"; "mlp" = HEAD_WIDTHS with BatchNorm and dropout between; or a classifier fitted once on frozen features:
# "logistic", "svm" (linear), "xgboost" (uv sync --extra xgboost); these need weights, and no value of a training counts
HEAD = "linear"
HEAD_WIDTHS = (512, 128)  # "mlp": neurons of each layer, one or more, as in (512, 256, 128, 64)
HEAD_BATCH_NORM = True  # "mlp": after each of them
HEAD_DROPOUT = 0.3  # "mlp": 0 up to below 1, after each of them
HEAD_WEIGHT_DECAY = None  # 0 to 1: L2 of the head alone, in place of WEIGHT_DECAY; None = the same
HEAD_C = 1.0  # above 0; "logistic" and "svm": smaller holds the weights closer to zero

# ---------------------------------------------------------------- training

EPOCHS = 50  # passes over the training rows, 1 or more, at most; more of them is a new run from scratch
# 1e-8 to 10, or "auto": 1e-4 for pretrained weights, 1e-3 from scratch or for the head alone; with "sgd" a hundred
# times that
LEARNING_RATE = "auto"
LAYER_DECAY = 1.0  # above 0, at most 1: each block learns at this times the rate of the next; 0.65 to 0.9 for a ViT
# "adam", "adamw", or "sgd" with Nesterov momentum; of timm (a number as LEARNING_RATE): "nadamw", "radamw", "adamp",
# "adabelief", "adafactor", "adagrad", "adan", "adopt", "lamb", "laprop", "lars", "lion", "madgrad", "mars",
# "muon", "novograd", "rmsprop"
OPTIMIZER = "adamw"
WEIGHT_DECAY = 0.01  # 0 to 1; usual: 0.01 for "adamw", 0 to 5e-4 for the others
WEIGHT_DECAY_ON = "all"  # "weights" spares norms and biases
MOMENTUM = 0.9  # 0 up to below 1; "sgd" only
GRADIENT_CLIP = None  # longest gradient of a step, above 0, usual 1.0: steadies transformers; None = as it is
# Learning rate: "plateau" = lower when validation loss stalls; "onecycle"; "cosine" down to zero; "constant"
SCHEDULE = "plateau"
WARMUP_EPOCHS = 0  # "cosine" only: epochs of a linear rise before it, 0 or more, fewer than EPOCHS
PLATEAU_PATIENCE = 3  # epochs without a better validation loss before it is lowered; 0 up to below PATIENCE
PLATEAU_FACTOR = 0.5  # above 0, below 1: what it is then multiplied by
# Epochs, 1 or more, without a better STOP_BY before a run stops early; None = never: right for "onecycle" and "cosine"
PATIENCE = 10
STOP_BY = "loss"  # of validation; "accuracy", "macro_f1"
LABEL_SMOOTHING = 0.0  # 0 up to below 1; 0.05 to 0.1 helps where labels are doubtful, as in FER2013
# True: where people voted (FER+), training targets are the shares of their votes, not the class with the most; other
# rows, validation and test keep their one class
SOFT_LABELS = False
# "cross_entropy"; "focal" minds what is still hard (Lin et al. 2017); "logit_adjustment" (Menon et al. 2021) and
# "balanced_softmax" (Ren et al. 2020; the same at LOGIT_TAU = 1) allow for rare classes, in place of BALANCE
LOSS = "cross_entropy"
FOCAL_GAMMA = 2.0  # above 0, up to 10; "focal": higher forgets easy pictures sooner
LOGIT_TAU = 1.0  # above 0, up to 10; "logit_adjustment": how much rare classes are favoured
EFFECTIVE_BETA = 0.999  # above 0, below 1; BALANCE = "effective_number" (Cui et al. 2019); nearer to 1: as "weights"
# 0 = off, up to 10: α of the Beta distribution that says how far two pictures of a batch, and their labels, are mixed.
# MIXUP adds them up (Zhang et al. 2018; usual 0.2), CUTMIX pastes a square (Yun et al. 2019; 1.0); both: one of them,
# batch by batch. Training scores are then those of mixed pictures, by the label with the larger share
MIXUP = 0.0
CUTMIX = 0.0
# Training rows whose label LABEL_NOISE doubts: "keep", "drop", or a number between 0 and 1 that their loss is
# multiplied by. Validation and test rows all stay, so that scores compare
DOUBTFUL = "keep"
EMA_DECAY = 0.0  # 0 = off; 0.99 to 0.9999 scores and keeps a running mean of the weights instead
# ((0.4, 32), (0.7, 40)): train at 32 px until 40 % of EPOCHS, at 40 px until 70 %, then at the input size; early
# epochs then cost less. For convolutional networks; () = always the input size
TRAIN_SIZES = ()
# The epoch that is kept, by validation score: "macro_f1" minds rare classes; "accuracy", "balanced_accuracy",
# "loss"; "last" = no choosing. The test set has no say in it
SELECT_BY = "macro_f1"
# True keeps, beside each run, the epoch of the same training with the best TEST accuracy, labelled "oracle": only to
# show what choosing the epoch on the test set is worth. It tests after every epoch, and is never to be reported alone
ORACLE = False

# ---------------------------------------------------------------- testing

# Views of a face whose probabilities are averaged: "none" = the face itself; "flip" = and its mirror image;
# "three_views" = and a slightly enlarged crop; "shifts" = face and mirror image, as they are and moved 4 % of the side
# up left and down right (six); "ten_views" = both whole and their four corners of 90 %. Each is a row of results.csv
TTA = ("none", "three_views")
# What the study asks, said before it runs: these comparisons, on this metric, are tested as one family; every other is
# labelled exploratory. Changing them after a look at the results makes the first answer as doubtful as the second
PRIMARY_METRIC = "macro_f1"  # or "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "cohen_kappa"
# Between which single networks, on the datasets they were trained on: "models", "variants", "training sets"; also
# "ensembles", "TTA"
PRIMARY_COMPARISONS = ("models", "variants", "training sets")
EVALUATE_TEST = True  # False while searching: only validation is scored, and the test set stays unread
PLOT_FORMAT = "png"  # "png"; "pdf" or "svg" stay sharp in print
# "key" = the figures a reader would miss; "all" = also those of every run and test set, ten times as many. Of a
# finished study, without training: python main.py --report --set FIGURES=all
FIGURES = "key"
GRAD_CAM = False  # True draws where each network looks, per class, over test faces (uv sync --extra attention)
TENSORBOARD = False  # True writes the training histories for TensorBoard too (uv sync --extra tensorboard)

# ---------------------------------------------------------------- this machine

DEVICE = "auto"  # "auto" = GPU if there is one; or "cpu", "mps", "cuda", "cuda:1"
WORKERS = "auto"  # processes beside the main one that prepare pictures, 0 to 256; "auto" = by CPU cores
# Half precision: "auto" where it is faster (NVIDIA GPUs; CPUs with AMX, MobileNets and the like aside), "on", "off".
# It shapes the weights, so a run made there is not one made elsewhere; "off", "bf16" or "fp16" pins it for all
AMP = "auto"
