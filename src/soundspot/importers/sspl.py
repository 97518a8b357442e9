"""zjsong/SSPL (commit d1af4c7a), without and with predictive coding: files in a folder, `module.` in all but one."""

from collections.abc import Iterator

from soundspot.importers.names import Release

_HEAD, _PCM = "ssl_head/module.", "pcm/module."
_CYCLES = 4
_SHARED = (
    ("frame/feat_extractor.", "image_encoder.features."),
    ("sound/module.fc.", "query."),
    ("sound/module.", "audio_encoder."),
    (f"{_HEAD}projector.layer1.", "head.projector."),
    (f"{_HEAD}projector.layer2.0.", "head.projector.3."),
    (f"{_HEAD}projector.layer2.1.", "head.projector.4."),
    (f"{_HEAD}projector.layer3.0.", "head.projector.6."),
    (f"{_HEAD}projector.layer3.1.", "head.projector.7."),
    (f"{_HEAD}predictor.layer1.", "head.predictor."),
    (f"{_HEAD}predictor.layer2.", "head.predictor.3."),
)
_FILES = (("frame", "frame_best.pth"), ("sound", "sound_best.pth"), ("ssl_head", "ssl_head_best.pth"))


def _norms() -> Iterator[tuple[str, str]]:
    """Theirs lie in one row, cycle after cycle, and apart from those of the first pass."""
    for theirs, ours, count in (("BNPred", "down_norms", 2), ("BNError", "up_norms", 3)):
        yield f"{_PCM}{theirs}.", f"pcm.{ours}.0."
        for n in range(_CYCLES * count):
            yield f"{_PCM}{theirs}_step.{n}.", f"pcm.{ours}.{1 + n // count}.{n % count}."


sspl = Release("sspl", _SHARED, files=_FILES)
sspl_pcm = Release(
    "sspl_pcm",
    (
        *_SHARED,
        (f"{_PCM}PredProcess.0.", "pcm.hear."),
        (f"{_PCM}PredProcess.1.conv2d.", "pcm.down.0."),
        (f"{_PCM}PredProcess.2.conv2d.", "pcm.down.1."),
        (f"{_PCM}ErrorProcess.0.", "pcm.up.0."),
        (f"{_PCM}ErrorProcess.1.", "pcm.up.1."),
        (f"{_PCM}ErrorProcess.2.convtrans2d.", "pcm.up.2."),
        (f"{_PCM}ErrorProcess.3.", "pcm.last."),
        (f"{_PCM}a0.", "pcm.gates.a."),
        (f"{_PCM}b0.", "pcm.gates.b."),
        *_norms(),
    ),
    files=(*_FILES, ("pcm", "pcm_best.pth")),
)
