"""Datasets as their owners ship them: one reader a layout, pictures opened safely."""
