"""Which of FFmpeg's encoders writes H.264 here."""

from soundspot.errors import RecipeError

H264_ENCODERS = ("libx264", "h264_videotoolbox", "libopenh264")


def choose_encoder(crf: int) -> tuple[str, dict[str, str]]:
    """Its name, and its options for a quality (libx264's constant rate factor, where that is it).

    Raises:
        RecipeError: there is none.
    """
    import av

    name = next((name for name in H264_ENCODERS if name in av.codecs_available), None)
    if name is None:
        raise RecipeError(
            f"FFmpeg writes no H.264 here ({', '.join(H264_ENCODERS)}); install PyAV's own wheel: pip install av"
        )
    return name, {"preset": "veryfast", "crf": str(crf)} if name == "libx264" else {}
