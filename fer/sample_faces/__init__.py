"""The embedded dataset: drawn faces."""
