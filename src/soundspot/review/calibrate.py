"""The calibration of a model for one's own recordings, from the clips that were checked."""

from collections import Counter

import numpy as np
import torch

from soundspot.config.recording_calibration import CurvePoint, RecordingCalibration
from soundspot.errors import DataError, InputError
from soundspot.evaluation.functional.thresholds import (
    ThresholdFit,
    fit_threshold,
    leave_one_out,
    scores_at,
    thin_population,
    wilson_interval,
)
from soundspot.review.draw import NUM_STRATA, assign_strata
from soundspot.review.review import ClipLabel, Review

MIN_CLIPS, MIN_OF_EACH = 30, 5
NUM_BINS = 5  # of the reliability curve


def calibrate_review(review: Review, min_precision: float | None = None) -> RecordingCalibration:
    """Fit threshold, interval and probability of presence to the clips of a review that were checked so far.

    Args:
        review: the review.
        min_precision: least precision wanted, in (0, 1); None: the highest F1.

    Returns:
        The calibration, to be written by its `save`.

    Raises:
        InputError: `min_precision` is out of range.
        DataError: there are too few checked clips, all are of one kind, or the peaks do not tell them apart.
    """
    if min_precision is not None and not 0 < min_precision < 1:
        raise InputError(
            f"min_precision: found {min_precision:g}, expected a share between 0 and 1, such as 0.9. Correct it"
        )
    labels, others = review.labels()
    check_labels(review, labels)
    peaks = torch.tensor([label.clip.moment.peak for label in labels], dtype=torch.float64)
    present = torch.tensor([label.present for label in labels])
    population = torch.tensor([moment.peak for moment in review.moments], dtype=torch.float64)
    weights = compute_weights(peaks.numpy(), population.numpy())
    fit = fit_threshold(peaks, present, weights, population, min_precision)
    if fit.lowest_slope <= 0:
        raise DataError(
            f"{review.folder}: found peaks that are not clearly higher where the source is in the image ({len(labels)} "
            "clips): no threshold of this model can be told for these recordings. Check the decisions and more clips, "
            "or teach the model what is in them: `soundspot adapt`"
        )
    if min_precision is not None and fit.scores["precision"] < min_precision:
        raise DataError(
            f"{review.folder}: found a precision of at most {fit.scores['precision']:.2f} at any threshold, expected "
            f"{min_precision:g}. Ask for less, or check more clips{_more_clips(review)}"
        )
    return _describe(review, labels, others, fit, min_precision, leave_one_out(peaks, present, weights).numpy())


def check_labels(review: Review, labels: list[ClipLabel]) -> None:
    """Check that there are enough labels of both kinds.

    Args:
        review: the review.
        labels: labels of its clips.

    Raises:
        DataError: there are too few, or all are of one kind; it says what to do.
    """
    num_present = sum(label.present for label in labels)
    counts = f"{len(labels)} clips that are decided, {num_present} with their source in the image"
    if len(labels) < MIN_CLIPS:
        is_limited = len(review.moments) < MIN_CLIPS
        remedy = "Locate more recordings" if is_limited else f"Go on checking{_more_clips(review)}"
        raise DataError(f"{review.folder}: found {counts}, expected at least {MIN_CLIPS}. {remedy}")
    if min(num_present, len(labels) - num_present) < MIN_OF_EACH:
        kind = "in" if num_present > MIN_OF_EACH else "not in"
        missing = "whose source is not in the image" if kind == "in" else "whose source is in the image"
        raise DataError(
            f"{review.folder}: found {counts}, expected at least {MIN_OF_EACH} of each kind: where (nearly) all "
            f"sources are {kind} the image, no threshold can be told. Locate recordings {missing}{_more_clips(review)}"
        )


def _more_clips(review: Review) -> str:
    """Return how more clips are drawn; empty where all are."""
    total, drawn = len(review.moments), len(review.clips)
    return f", or draw more clips: --clips {min(total, 2 * drawn)}" if drawn < total else ""


def compute_weights(peaks: np.ndarray, population: np.ndarray) -> torch.Tensor:
    """Compute how many of all peaks each labeled peak stands for: those of its stratum, shared by its labels.

    Args:
        peaks: (n,) labeled peaks, all of the population.
        population: (p,) all peaks.

    Returns:
        (n,) float64 weights.
    """
    strata = assign_strata(population)
    edges = np.array([population[strata <= number].max(initial=-np.inf) for number in range(NUM_STRATA)])
    own = np.searchsorted(edges, peaks)
    totals, counts = np.bincount(strata, minlength=NUM_STRATA), np.bincount(own, minlength=NUM_STRATA)
    return torch.from_numpy(totals[own] / counts[own])


def fit_reliability(probabilities: np.ndarray, present: np.ndarray) -> tuple[CurvePoint, ...]:
    """Compute the reliability curve in bins of equally many clips.

    Args:
        probabilities: (n,) probability of each clip, predicted without it.
        present: (n,) whether its source is in the image.

    Returns:
        Up to five bins by rising probability.
    """
    groups = np.array_split(np.argsort(probabilities, kind="stable"), NUM_BINS)
    bins = []
    for group in groups:
        if len(group):
            hits, count = int(present[group].sum()), len(group)
            interval = wilson_interval(hits, count)
            bins.append(CurvePoint(float(probabilities[group].mean()), hits / count, *interval, count))
    return tuple(bins)


def _describe(
    review: Review,
    labels: list[ClipLabel],
    others: Counter[str],
    fit: ThresholdFit,
    min_precision: float | None,
    probabilities: np.ndarray,
) -> RecordingCalibration:
    model, present = review.model, np.array([label.present for label in labels])
    judged = [label.at_peak for label in labels if label.at_peak is not None]
    num_right, num_judged = sum(judged), len(judged)
    low, high = wilson_interval(num_right, num_judged)
    shipped = {}
    if model.threshold is not None:
        population = thin_population(torch.tensor([moment.peak for moment in review.moments]))
        logistic = torch.tensor([fit.presence.slope, fit.presence.intercept], dtype=torch.float64)
        shipped = {"threshold": model.threshold, **scores_at(model.threshold, population, logistic)}
    return RecordingCalibration(
        model=model.name,
        model_id=model.identity,
        aim="best F1" if min_precision is None else f"expected precision of {min_precision:g}",
        threshold=fit.threshold,
        interval=(fit.low, fit.high),
        presence=fit.presence.as_dict(),
        scores=fit.scores,
        shipped=shipped,
        reliability=fit_reliability(probabilities, present),
        location={"num_right": num_right, "num_present": num_judged, "low": low, "high": high},
        clicks={
            "present": int(present.sum()),
            "absent": int((~present).sum()),
            "unsure": others["unsure"],
            "disputed": others["disputed"],
            "results": len(review.moments),
        },
        annotators=tuple(sorted(review.read_choices())),
        agreement=tuple(
            {
                "first": item.first,
                "second": item.second,
                "num_clips": item.num_items,
                "agreement": item.agreement,
                "kappa": None if item.kappa != item.kappa else item.kappa,
            }
            for item in review.measure_agreement()
        ),
    )


def format_calibration(calibration: RecordingCalibration) -> list[str]:
    """Format a calibration as sentences.

    Args:
        calibration: the calibration.

    Returns:
        Sentences on threshold, scores, location and agreement.
    """
    low, high = calibration.interval
    scores, clicks, location = calibration.scores, calibration.clicks, calibration.location
    lines = [
        f"Threshold {calibration.threshold:.3f} (95 % interval {low:.3f} to {high:.3f}), aim: {calibration.aim}.",
        f"From {clicks['present'] + clicks['absent']} clips: {clicks['present']} with their source in the image, "
        f"{clicks['absent']} without; {clicks['unsure']} unsure, {clicks['disputed']} disputed. They stand for "
        f"{clicks['results']} results.",
        f"Expected over these: {_format_scores(scores)}.",
    ]
    if calibration.shipped:
        located = calibration.shipped["threshold"]
        lines.append(f"At the threshold they were located with, {located:.3f}: {_format_scores(calibration.shipped)}.")
    if location["num_present"]:
        share = location["num_right"] / location["num_present"]
        lines.append(
            f"The location is right in {100 * share:.0f} % of the checked clips whose source is in the image (95 % "
            f"interval {100 * location['low']:.0f} to {100 * location['high']:.0f} %)."
        )
    for item in calibration.agreement:
        kappa = "" if item["kappa"] is None else f", kappa {item['kappa']:.2f}"
        equal = f"{100 * item['agreement']:.0f} % of {item['num_clips']} equal"
        lines.append(f"{item['first']} and {item['second']}: {equal}{kappa}.")
    return lines


def _format_scores(scores: dict[str, float]) -> str:
    return f"F1 {scores['f1']:.2f}, precision {scores['precision']:.2f}, recall {scores['recall']:.2f}"
