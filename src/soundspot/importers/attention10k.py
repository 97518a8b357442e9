"""ardasnck/learning_to_localize_sound_source (commit 89205e9b): the file is the state dict; sounds are vectors."""

from soundspot.importers.names import Release

attention10k = Release(
    "attention10k",
    (
        ("vision_embedding_model.feature_extraction.", "image_encoder.features."),
        ("sound_fc1.", "query.1."),
        ("sound_fc2.", "query.3."),
        ("vision_fc1.", "meaning.1."),
        ("vision_fc2.", "meaning.3."),
    ),
    options=(("audio", {"encoder": "vectors", "width": 1000}),),
)
