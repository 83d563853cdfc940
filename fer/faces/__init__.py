"""Rows become faces: found, cut out, augmented, balanced, packed."""
