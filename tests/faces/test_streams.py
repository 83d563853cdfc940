"""Promise: streams hashed for a whole batch are those that utils.random_streams gives one at a time."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from fer.faces.augmentation import FEWEST_AT_ONCE, _streams, augment_images, make_transform
from utils import random_streams

NUMBERS = st.integers(0, 2**70)


@given(st.lists(NUMBERS, max_size=7), st.integers(0, 2**33), st.sampled_from([1, FEWEST_AT_ONCE, 20]))
def test_streams_of_a_batch_are_those_of_its_pictures(key: list[int], first: int, count: int) -> None:
    for number, (ours, python) in enumerate(_streams(tuple(key), first, count), first):
        expected, expected_python = random_streams(*key, number)
        assert ours.bit_generator.state == expected.bit_generator.state
        assert python.getstate() == expected_python.getstate()
        assert ours.integers(2**60) == expected.integers(2**60)


def test_a_batch_divided_at_any_place_gives_the_same_pictures() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
    transform = make_transform("strong", 1.0, 0.8)
    whole = augment_images(pictures, transform, (3, 1))
    for cut in (1, FEWEST_AT_ONCE - 1, 20):
        parts = [
            augment_images(pictures[:cut], transform, (3, 1)),
            augment_images(pictures[cut:], transform, (3, 1), cut),
        ]
        assert np.array_equal(np.concatenate(parts), whole)
