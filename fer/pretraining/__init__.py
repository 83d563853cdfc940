"""Networks that learn from faces before their labels count: without labels, or with those of other datasets."""
