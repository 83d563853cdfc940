"""The views of a face that are averaged at test time."""
