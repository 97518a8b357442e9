"""The files of `media_cases`, by what they hold, and what is right for each in one table."""

from pathlib import Path
from typing import Any

from media_cases import CASES

# fmt: off
AUDIO = (
    "flac_of_unknown_length/piped.flac", "mp3_longer_than_guessed/joined.mp3", "mp3_longer_than_guessed/variable.mp3",
    "chained_ogg/chained.ogg", "chained_ogg/chained.opus", "opus_of_unsaid_rate/unsaid.opus",
    "telephone_codecs_in_wav/g721.wav", "telephone_codecs_in_wav/gsm.wav", "speech_in_the_center/center.wav",
    "ambisonics/field.flac", "ambisonics/field.opus", "ambisonics/field.wav",
)
NUMBERED = (  # videos whose image n carries n
    "speech_in_the_center/center.mp4", "mpeg_program_stream/camera.mpeg", "mpeg_program_stream/dvd.mpg",
    "mpeg_program_stream/tv.mpg", "default_track/two.mkv", "unknown_track_first/spatial.mp4",
    "unknown_track_first/unknown.mp4", "audio_outlasts_images/short.mp4", "audio_outlasts_images/song.mp4",
    "names_of_cameras/00001.MTS", "names_of_cameras/00002.m2ts", "names_of_cameras/VTS_01_1.VOB",
    "names_of_cameras/clip.mp4", "names_of_cameras/old.qt", "repeated_frames/screen.avi",
    "audio_from_the_middle/aac.mp4", "audio_from_the_middle/mp3.avi", "audio_from_the_middle/mp3.mkv",
    "audio_from_the_middle/mp3.mp4", "audio_from_the_middle/opus.mkv", "audio_from_the_middle/pcm.mov",
    "next_frame/h264.avi", "next_frame/h264.mkv", "next_frame/h264.mp4", "next_frame/h264.ts", "next_frame/h264_b.ts",
    "next_frame/h265.mp4", "next_frame/mpeg4.mp4", "dunder_folder/clips/AbCdEfGhIjK/frame.mp4",
    "dunder_folder/clips/__0aBcDeF__/frame.mp4", "dunder_folder/clips/__0aBcDeFgh/frame.mp4",
)
CORNERS = ("mirrored_video/mirrored.mp4", "mirrored_video/transposed.mp4", "mirrored_video/turned.mp4")
TRANSPARENT = ("transparent_video/png.mov", "transparent_video/prores.mov")
SCREEN = "repeated_frames/screen.ogv"
UNKNOWN = "unknown_track_first/unknown.mp4"
HEIC = "names_of_cameras/IMG_0001.HEIC"
MASKS = ("soft_mask/bilinear.png", "soft_mask/enlarged.png", "soft_mask/lanczos.png")
# fmt: on
CHORDS = tuple(file for file in NUMBERED if file.startswith("audio_from_the_middle/"))
VIDEOS = (*NUMBERED, *CORNERS, *TRANSPARENT, SCREEN)
VIDEOS_WITH_AUDIO = tuple(file for file in (*NUMBERED, SCREEN) if file != UNKNOWN)
AUDIBLE = (*AUDIO, *VIDEOS_WITH_AUDIO)


class Right(dict[str, dict[str, Any]]):
    """What is right for each file, by its path below `root`."""

    root: Path


def write_cases(root: Path) -> Right:
    """Write all cases below a folder; the table says what is right for each file, and what its maker says besides."""
    right = Right()
    right.root = root
    for name, write in CASES.items():
        case = write(root / name)
        right |= {f"{name}/{file}": dict(case.expected.get(file, {})) for file in case.files}
        right |= {f"{name}/{folder}": dict(values) for folder, values in case.expected.items()}
    counts = {"speech_in_the_center/center.mp4": 75, "default_track/two.mkv": 50, **dict.fromkeys(CHORDS, 150)}
    for file in NUMBERED:
        expected = right[file]
        expected |= {"frames": counts.get(file, expected.get("frames")), "fps": 25}
        expected["repeat"] = 10 if file.endswith("screen.avi") else 1
        expected.setdefault("video_seconds", expected["frames"] / 25)
        if file != UNKNOWN:
            expected.setdefault("audio_seconds", expected["video_seconds"])
    return right
