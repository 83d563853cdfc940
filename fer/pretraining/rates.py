"""What a pretraining without labels is told where its row says nothing; known without torch, since keys hold it."""

from __future__ import annotations

# SGD, as in lightly's benchmarks for small pictures: learning rate for each picture of a batch, and weight decay.
RATE = 0.06 / 128
WEIGHT_DECAY = 5e-4
# Raise when the same key shows a picture in another view.
VIEWS_VERSION = 1
