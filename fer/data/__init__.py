"""Folders on disk become rows, each with one split; copies have one definition."""
