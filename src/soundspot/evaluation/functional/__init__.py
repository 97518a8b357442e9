"""Scores as pure functions of tensors: no models, paths or data sets. Fractions throughout, float64 results.

`localization`, `detection` (is there a source at all), `segmentation` (masks), `pixels` (pixel AP), `sources` (several
sources in an image), `retrieval` and `embeddings` (without maps), `negatives` (silence, noise, off-screen audio).
Where a released code and sound practice differ, a function offers both and says how.
"""
# ruff: noqa: I001 (one import of each module, whose names are exported as they are)

from soundspot.evaluation.functional.calibration import (
    NUM_BINS as NUM_BINS,
    ReliabilityBins as ReliabilityBins,
    balanced_weights as balanced_weights,
    expected_calibration_error as expected_calibration_error,
    fit_presence as fit_presence,
    reliability_bins as reliability_bins,
)
from soundspot.evaluation.functional.detection import (
    SIZES as SIZES,
    DetectionStats as DetectionStats,
    average_precision as average_precision,
    confidence as confidence,
    detection_stats as detection_stats,
    f1_at as f1_at,
    f1_curve as f1_curve,
    loc_acc as loc_acc,
    max_f1 as max_f1,
    precision_recall as precision_recall,
    size_bucket as size_bucket,
)
from soundspot.evaluation.functional.embeddings import (
    Magnitude as Magnitude,
    alignment as alignment,
    centroid_distance as centroid_distance,
    magnitude as magnitude,
    modality_gap as modality_gap,
    separability as separability,
)
from soundspot.evaluation.functional.localization import (
    AUC_STEPS as AUC_STEPS,
    IOU_THRESHOLD as IOU_THRESHOLD,
    AUCGrid as AUCGrid,
    auc as auc,
    auc_terms as auc_terms,
    group_auc_terms as group_auc_terms,
    group_sizes as group_sizes,
    group_success as group_success,
    iou as iou,
    mean_iou as mean_iou,
    success_rate as success_rate,
    worst_of_groups as worst_of_groups,
)
from soundspot.evaluation.functional.negatives import (
    auc_n as auc_n,
    auc_n_terms as auc_n_terms,
    f_auc as f_auc,
    f_loc as f_loc,
    false_positive_rate as false_positive_rate,
    harmonic_mean as harmonic_mean,
    iou_above as iou_above,
    map_overlap as map_overlap,
    pia as pia,
    universal_threshold as universal_threshold,
)
from soundspot.evaluation.functional.pixels import pixel_ap as pixel_ap
from soundspot.evaluation.functional.retrieval import (
    TiedRanks as TiedRanks,
    chance_recall as chance_recall,
    embedding_ranks as embedding_ranks,
    expected_recall as expected_recall,
    recall_at as recall_at,
    retrieval_ranks as retrieval_ranks,
)
from soundspot.evaluation.functional.segmentation import (
    PixelCounts as PixelCounts,
    f_curve as f_curve,
    f_score as f_score,
    mask_iou as mask_iou,
    max_f as max_f,
    pixel_counts as pixel_counts,
)
from soundspot.evaluation.functional.sources import (
    MatchedSources as MatchedSources,
    SourceAP as SourceAP,
    assign_sources as assign_sources,
    assigned_sources as assigned_sources,
    matched_sources as matched_sources,
    pad_groups as pad_groups,
    source_ap as source_ap,
)
