"""Chance as a function: the same wherever it is asked, unlike elsewhere."""

import numpy as np

from soundspot.utils.hash_rng import make_generator, uniform


def test_a_row_depends_on_its_sample_alone() -> None:
    together = uniform((0, 3, "crop"), [5, 9, 2], 4)
    alone = uniform((0, 3, "crop"), [9], 4)
    np.testing.assert_array_equal(together[1], alone[0])


def test_numbers_are_spread_evenly_and_unrelated() -> None:
    rows = uniform((1, 0, "x"), list(range(20_000)), 3)
    assert rows.min() >= 0
    assert rows.max() < 1
    counts = np.histogram(rows, bins=20, range=(0, 1))[0]
    assert abs(counts / rows.size - 0.05).max() < 0.003
    assert abs(np.corrcoef(rows.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(rows[:-1, 0], rows[1:, 0])[0, 1]) < 0.03


def test_every_part_of_the_key_matters() -> None:
    keys = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    firsts = {float(uniform(key, [7])[0, 0]) for key in keys}
    assert len(firsts) == len(keys)
    assert make_generator(0, "a").random() == make_generator(0, "a").random() != make_generator(0, "b").random()
