"""Trained networks on new pictures: faces cut out as in training, probabilities, what a network looked at, export."""
