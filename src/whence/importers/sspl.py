"""zjsong/SSPL (commit d1af4c7a), without its predictive coding: three files in a folder, `module.` in two."""

from whence.importers.names import Release

_HEAD = "ssl_head/module."

sspl = Release(
    "sspl",
    (
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
    ),
    files=(("frame", "frame_best.pth"), ("sound", "sound_best.pth"), ("ssl_head", "ssl_head_best.pth")),
)
