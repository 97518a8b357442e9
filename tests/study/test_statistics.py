"""Statistics of studies, each against a loop or scipy."""

import numpy as np
import pytest

from soundspot.evaluation.metrics.bootstrap import bootstrap_p_value
from soundspot.study.statistics import (
    correlate,
    draw_seeds,
    estimate,
    holm,
    mean_and_spread,
    midranks,
    rank_arms,
    seed_means,
    spearman,
)

RNG = np.random.default_rng(0)


def test_the_mean_over_drawn_seeds_is_that_of_a_loop() -> None:
    draws, chosen = RNG.random((3, 4, 5)), draw_seeds(4, 5)
    draws[0, 2] = np.nan  # a training that failed
    draws[1] = np.nan  # all of an arm
    means = seed_means(draws, chosen)
    for arm in range(3):
        for d in range(5):
            scores = [draws[arm, s, d] for s in chosen[d] if not np.isnan(draws[arm, s, d])]
            expected = sum(scores) / len(scores) if scores else np.nan
            assert means[arm, d] == pytest.approx(expected, nan_ok=True)


def test_spread_leaves_failed_seeds_out() -> None:
    means, spread = mean_and_spread(np.array([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan], [np.nan] * 3]))
    assert means == pytest.approx([2, 2, np.nan], nan_ok=True)
    assert spread == pytest.approx([2**0.5, np.nan, np.nan], nan_ok=True)


def test_an_interval_covers_seeds_as_well_as_images() -> None:
    """Scores that no image moves have an interval all the same, of their seeds."""
    draws = np.repeat(np.array([[[0.2], [0.4], [0.6]]]), 2000, axis=2)
    _, low, high = estimate(0.4, seed_means(draws, draw_seeds(3, 2000))[0])
    assert (low, high) == (pytest.approx(0.2, abs=0.02), pytest.approx(0.6, abs=0.02))


def test_a_difference_is_paired_by_seed_and_image() -> None:
    """Two arms that differ by a constant differ by it in every draw, however much seeds and images move both."""
    draws = RNG.random((1, 4, 300))
    first, second = seed_means(np.concatenate([draws, draws - 0.1]), draw_seeds(4, 300))
    assert first - second == pytest.approx(np.full(300, 0.1))
    assert bootstrap_p_value(first - second) == pytest.approx(2 / 301)


def test_p_values_are_two_sided_and_holm_corrects_them() -> None:
    assert bootstrap_p_value(np.array([-1.0, 1.0, 2.0, 3.0])) == pytest.approx(2 * 2 / 5)
    assert np.isnan(bootstrap_p_value(np.array([np.nan])))
    corrected = holm(np.array([0.04, 0.01, np.nan, 0.03]))
    assert corrected == pytest.approx([0.06, 0.03, np.nan, 0.06], nan_ok=True)
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_rank_correlation_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    x, y = RNG.integers(0, 4, (2, 6, 9)).astype(float)  # with ties
    assert midranks(x) == pytest.approx(stats.rankdata(x, axis=-1))
    assert spearman(x, y) == pytest.approx([stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)])
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_ranks_have_the_confidence_of_their_draws() -> None:
    draws = np.array([[3.0, 3.0, 3.0, 3.0], [2.0, 2.0, 1.0, 3.0], [1.0, 1.0, 2.0, 1.0]])
    ranks = rank_arms(draws.mean(1), draws)
    assert ranks.value.tolist() == [1, 2, 3]
    assert ranks.first == pytest.approx([3.5 / 4, 0.5 / 4, 0])  # the tie counts half
    assert ranks.low[0] == pytest.approx(1.0)
    assert ranks.high[2] == pytest.approx(3.0)


def test_scores_may_go_together_across_methods_and_not_within() -> None:
    arms, noise = np.arange(8.0)[:, None], RNG.normal(size=(2, 8, 6))
    x, y = arms + 0.1 * noise[0], arms + 0.1 * noise[1]
    draws = [np.repeat(z[..., None], 200, axis=2) for z in (x, y)]
    across, within = correlate(x, y, *draws)
    assert across.value == 1
    assert across.low > 0.8
    assert within.low < 0 < within.high
    opposite = correlate(x, arms - 0.1 * noise[0], draws[0], np.repeat((arms - 0.1 * noise[0])[..., None], 200, 2))
    assert opposite.across.value == 1
    assert opposite.within.value == pytest.approx(-1)
    assert opposite.within.high < -0.9


def test_an_arm_without_all_of_its_scores_does_not_count() -> None:
    x = RNG.random((4, 3))
    x[1, 2] = np.nan
    draws = np.repeat(x[..., None], 50, axis=2)
    assert correlate(x, x, draws, draws).across.value == pytest.approx(1)
    assert np.isnan(correlate(x[:2], x[:2], draws[:2], draws[:2]).across.value)
