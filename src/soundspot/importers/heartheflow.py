"""denfed/heartheflow (commit 60ed54d8): under `model` (.pth), or a Lightning checkpoint's names from `model.` on."""

from soundspot.importers.names import Release

heartheflow = Release(
    "heartheflow",
    (
        ("imgnet.", "image_encoder."),
        ("audnet.", "audio_encoder."),
        ("flownet.", "flow_encoder."),
        ("flowatt.query_conv.", "attention.query."),
        ("flowatt.key_conv.", "attention.key."),
        ("flowatt.value_conv.", "attention.value."),
    ),
)
