"""The shipped recipes, as config.py shows them: what each is for is said there."""

from __future__ import annotations

from fer.settings.training_values import Recipe

RECIPES: dict[str, Recipe] = {
    "baseline": Recipe(optimizer="adamw", learning_rate="auto", schedule="plateau", patience=10),
    "finetune": Recipe(
        pretrained=True, optimizer="adamw", learning_rate=2e-4, layer_decay=0.75, schedule="cosine", warmup_epochs=3,
        patience=None, epochs=30, weight_decay=0.05, weight_decay_on="weights", gradient_clip=1.0, label_smoothing=0.1,
    ),
    "from_scratch_small": Recipe(
        pretrained=False, optimizer="sgd", learning_rate=0.2, schedule="onecycle", patience=None, epochs=60,
        weight_decay=5e-4, weight_decay_on="weights", label_smoothing=0.1, dropout=0.3, select_by="last",
    ),
    "linear_probe": Recipe(pretrained=True, freeze="backbone", optimizer="adamw", learning_rate=1e-3, epochs=20),
}  # fmt: skip
