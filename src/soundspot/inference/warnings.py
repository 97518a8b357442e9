"""What a reader of a result must be told, in sentences."""

from collections.abc import Iterator

from soundspot.types import Audio

NO_FLOW_WARNING = "No optical flow was given, and this method looks at it: the picture counts as standing still."


def audio_warnings(sound: Audio, window: float) -> Iterator[str]:
    """Of the sound that was heard, by a model that hears `window` seconds."""
    if sound.is_silent:
        yield "The sound is silent: the map shows what the model makes of the picture alone."
    yield from short_audio_warnings(sound, window)


def short_audio_warnings(sound: Audio, window: float) -> Iterator[str]:
    """Of a sound that is shorter than the window."""
    if sound.seconds < window:
        yield f"The sound lasts {sound.seconds:.2g} s and was repeated to fill the {window:g} s the model hears."
