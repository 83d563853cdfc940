"""The plan: what to train, doing it, resuming it, verifying it."""
