"""Valid media and annotation files that readers of audio and video often get wrong, with what is right for each.

Every function of `CASES` writes its files into a folder and returns a `Case`. `expected` maps a file (its path below
that folder) to plain numbers, whose names mean

    audio_seconds, audio_rate   length and rate of the decoded audio
    rms, hertz                  level and pitch, away from both ends; `hertz_at_end`: pitch of the last second
    click_seconds               when each 50 ms burst begins, from the first image of a video, else the first sample
    frames, fps, video_seconds  number of images, their rate, and how long they are shown
    red_center, size            (x, y) of the red corner and (width, height), both as a viewer sees the image

and others that the case itself explains.
"""

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageDraw

from media_writers import (
    AudioTrack,
    chord,
    clicks,
    corner_image,
    numbered_video,
    ogg_checksum,
    sample,
    silence,
    sine,
    split_ogg,
    write_audio,
    write_heic,
    write_theora,
    write_video,
)

Expected = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One kind of input: its files (paths below the folder), what is right, where it was reported, and one sentence."""

    name: str
    files: tuple[str, ...]
    expected: Expected
    source: str
    words: str


CASES: dict[str, Callable[[Path], Case]] = {}


def case(source: str, words: str) -> Callable[[Callable[[Path], Expected]], Callable[[Path], Case]]:
    """Register a function that writes files and returns what is expected of them; calling it then returns a `Case`."""

    def register(write: Callable[[Path], Expected]) -> Callable[[Path], Case]:
        def build(folder: Path) -> Case:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            expected = write(folder)
            files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            return Case(write.__name__, tuple(files), expected, source, words)

        build.__name__, build.__doc__ = write.__name__, write.__doc__
        CASES[write.__name__] = build
        return build

    return register


# Cases: audio
@case(
    "libsndfile/libsndfile#1038, bastibe/python-soundfile#450, bastibe/python-soundfile#361",
    "A FLAC that was written to a pipe says 0 samples in its header, which means `unknown` and not empty or endless.",
)
def flac_of_unknown_length(folder: Path) -> Expected:
    """The total number of samples and the sum of STREAMINFO are zero, as the format allows."""
    path = folder / "piped.flac"
    soundfile.write(path, sample(sine(440), 3, 16000), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the upper 4 of the 36 bits of the number of samples
    content[22:42] = bytes(20)  # its lower 32 bits, and the MD5 sum
    path.write_bytes(content)
    return {"piped.flac": {"audio_seconds": 3.0, "audio_rate": 16000, "hertz": 440, "rms": 0.354}}


@case(
    "spotify/pedalboard#206, rmcrackan/Libation#110",
    "An MP3 may hold more than its first frames say: a variable rate without Xing header, or two files end to end.",
)
def mp3_longer_than_guessed(folder: Path) -> Expected:
    """`variable.mp3`: a costly first second, then silence, a tone from 15 s on. `joined.mp3`: 2 s, a tag, and 3 s."""
    rate, noise = 44100, np.random.default_rng(0).uniform(-0.5, 0.5, (44100, 1))
    samples = sample(lambda t: sine(440, 0.3)(t) * (t > 15), 20, rate)
    samples[:rate] = noise
    write_audio(
        folder / "variable.mp3",
        samples,
        rate,
        "libmp3lame",
        options={"global_quality": "0", "flags": "+qscale"},
        container_options={"write_xing": "0"},
    )
    write_audio(folder / "part.mp3", sample(sine(880), 3, rate), rate, "libmp3lame")
    write_audio(folder / "joined.mp3", sample(sine(440), 2, rate), rate, "libmp3lame")
    with (folder / "joined.mp3").open("ab") as file:
        file.write((folder / "part.mp3").read_bytes())
    (folder / "part.mp3").unlink()
    return {
        "variable.mp3": {"audio_seconds": 20.0, "audio_rate": rate, "hertz_at_end": 440},
        "joined.mp3": {"audio_seconds": 5.0, "audio_rate": rate, "hertz_at_end": 880},
    }


@case(
    "DSheirer/sdrtrunk#1377",
    "Two Ogg streams one behind the other are one valid (chained) file; readers may stop after the first.",
)
def chained_ogg(folder: Path) -> Expected:
    """Two links, 2 s of 440 Hz and 3 s of 880 Hz, as Vorbis and as Opus."""
    for name, subtype in (("chained.ogg", "VORBIS"), ("chained.opus", "OPUS")):
        links = []
        for hertz, seconds in ((440, 2), (880, 3)):
            soundfile.write(folder / "link", sample(sine(hertz), seconds, 48000), 48000, format="OGG", subtype=subtype)
            links.append((folder / "link").read_bytes())
        (folder / "link").unlink()
        (folder / name).write_bytes(b"".join(links))
    right = {"audio_seconds": 5.0, "audio_rate": 48000, "hertz_at_end": 880, "links": 2}
    return {"chained.ogg": right, "chained.opus": dict(right)}


@case(
    "RFC 7845, section 5.1 (no thread: seen in a comparison of readers)",
    "The header of Opus may leave the original rate unsaid (0); the audio is of 48 kHz all the same, not of 8 kHz.",
)
def opus_of_unsaid_rate(folder: Path) -> Expected:
    """Tones of 1 and of 6 kHz, each of amplitude 0.3; the upper one is lost by who decodes at 8 kHz."""
    path = folder / "unsaid.opus"
    samples = sample(sine(1000, 0.3), 2, 48000) + sample(sine(6000, 0.3), 2, 48000)
    soundfile.write(path, samples, 48000, format="OGG", subtype="OPUS")
    head, *others = split_ogg(path.read_bytes())
    page = bytearray(head)
    at = page.index(b"OpusHead") + 12
    page[at : at + 4] = page[22:26] = bytes(4)
    struct.pack_into("<I", page, 22, ogg_checksum(page))
    path.write_bytes(b"".join([page, *others]))
    return {"unsaid.opus": {"audio_seconds": 2.0, "amplitude_at_1000_hertz": 0.3, "amplitude_at_6000_hertz": 0.3}}


@case(
    "no thread: seen in a comparison of readers",
    "WAV is a container: telephone codecs in it (GSM 6.10, G.721) have blocks of many samples and are valid.",
)
def telephone_codecs_in_wav(folder: Path) -> Expected:
    """Two seconds of 440 Hz at 8 kHz; the last block may be filled up with up to 0.04 s."""
    for name, subtype in (("gsm.wav", "GSM610"), ("g721.wav", "G721_32")):
        soundfile.write(folder / name, sample(sine(440), 2, 8000), 8000, subtype=subtype)
    right = {"audio_seconds": 2.0, "audio_seconds_tolerance": 0.04, "audio_rate": 8000, "hertz": 440}
    return {"gsm.wav": right, "g721.wav": dict(right)}


@case(
    "mpv-player/mpv#6343, WebAudio/web-audio-api#718",
    "Of 5.1 with speech in the center alone, the plain mean of six channels is 15.6 dB too soft.",
)
def speech_in_the_center(folder: Path) -> Expected:
    """Only the third of six channels sounds. In a player's mono it has 0.7 (by way of stereo) to 1 of its level."""

    def center(t: np.ndarray) -> np.ndarray:
        return np.stack([sine(440)(t) if channel == 2 else silence(t) for channel in range(6)], axis=1)

    soundfile.write(folder / "center.wav", sample(center, 3, 48000), 48000, format="WAVEX")
    numbered_video(folder / "center.mp4", 75, [AudioTrack(center, layout="5.1")])
    right = {"audio_seconds": 3.0, "hertz": 440, "channels": 6, "least_mono_rms": 0.24, "most_mono_rms": 0.36}
    return {"center.wav": right, "center.mp4": dict(right)}


@case(
    "RFC 8486; B-format WAV of the 1990s (no thread: seen in a comparison of readers)",
    "Four channels may be a sound field (ambisonics), not loudspeakers: half of all places are silent in their mean.",
)
def ambisonics(folder: Path) -> Expected:
    """A tone that is in front, behind, left, right, above and below for a second each; its level never changes.

    `field.opus` says that it is a field (channel mapping family 2; order W Y Z X), `field.wav` does by the GUID of
    B-format (order W X Y Z, W at 0.707). `field.flac` does not say it (W Y Z X, as most data sets have it): of it one
    may expect that no second is silent in mono, or a note on the four channels.
    """
    rate, tone = 48000, sine(500, 0.3)
    places = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])

    def field(t: np.ndarray) -> np.ndarray:  # (n, 4) as W Y Z X
        x, y, z = places[np.minimum(t.astype(int), 5)].T
        return tone(t)[:, None] * np.stack([np.ones_like(t), y, z, x], axis=1)

    samples = sample(field, 6, rate)
    soundfile.write(folder / "field.flac", samples, rate)
    options = {"mapping_family": "2", "b": "512000"}
    write_audio(folder / "field.opus", samples, rate, "libopus", "ambisonic 1", options=options)
    b_format = samples[:, [0, 3, 1, 2]] * np.float32([0.5**0.5, 1, 1, 1])
    soundfile.write(folder / "field.wav", b_format, rate, format="WAVEX")
    content = bytearray((folder / "field.wav").read_bytes())
    at = content.index(b"fmt ") + 28
    content[at : at + 20] = bytes(4) + struct.pack("<IHH", 1, 0x0721, 0x11D3) + bytes.fromhex("8644c8c1ca000000")
    (folder / "field.wav").write_bytes(content)
    right = {"audio_seconds": 6.0, "hertz": 500, "channels": 4, "least_over_most_rms_of_the_six_seconds": 1.0}
    marked = {"field.opus": 1, "field.wav": 1, "field.flac": 0}
    return {name: {**right, "says_that_it_is_a_field": mark} for name, mark in marked.items()}


# Cases: video
@case(
    "meta-pytorch/torchcodec#1610",
    "In an MPEG program stream (DVD, camcorder, TV card) a seek lands amid an audio frame, which is no damage.",
)
def mpeg_program_stream(folder: Path) -> Expected:
    """Fourteen seconds with clicks; a window of 10 s from second 2 must be whole, its clicks 2 s earlier."""
    starts = [0.5, 3.5, 7.25, 11.0, 13.5]
    kinds = {"dvd.mpg": ("vob", "mpeg2video", "mp2"), "tv.mpg": ("vob", "mpeg2video", "ac3")}
    kinds["camera.mpeg"] = ("mpeg", "mpeg1video", "mp2")
    for name, (container, codec, audio) in kinds.items():
        tracks = [AudioTrack(clicks(starts), audio)]
        numbered_video(folder / name, 350, tracks, codec=codec, b_frames=2, gop=12, format=container)
    window = {"start": 2.0, "audio_seconds": 10.0, "click_seconds": [1.5, 5.25, 9.0], "first_number": 50}
    right = {"frames": 350, "fps": 25, "video_seconds": 14.0, "audio_seconds": 14.0, "click_seconds": starts}
    return {name: {**right, "window": window} for name in kinds}


@case(
    "RenderHeads/UnityPlugin-AVProVideo#956, bytedeco/javacv#1361, mpv-player/mpv#16090",
    "The display matrix of a track can mirror as well as turn; by its angle alone the image is shown wrong.",
)
def mirrored_video(folder: Path) -> Expected:
    """A red corner, upper left as stored: turned, mirrored left to right, and transposed (a turn and a mirror)."""
    expected = {}
    for name, (a, b, c, d, x, y), center, size in (  # the stored (u, v) is shown at (a u + c v + x, b u + d v + y)
        ("turned.mp4", (0, 1, -1, 0, 96, 0), (75.5, 24.5), (96, 128)),
        ("mirrored.mp4", (-1, 0, 0, 1, 128, 0), (102.5, 19.5), (128, 96)),
        ("transposed.mp4", (0, 1, 1, 0, 0, 0), (19.5, 24.5), (96, 128)),
    ):
        write_video(folder / name, [corner_image()] * 10, [AudioTrack(sine(440))])
        content = bytearray((folder / name).read_bytes())
        matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30]
        struct.pack_into(">9i", content, content.index(b"tkhd") + 44, *matrix)  # behind times, layer and volume
        (folder / name).write_bytes(content)
        expected[name] = {"frames": 10, "red_center": center, "size": size}
    return expected


@case(
    "obsproject/obs-studio#5109, jellyfin/jellyfin-roku#212, mifi/lossless-cut#2066",
    "Of several audio tracks the one that is marked default is meant, not the first.",
)
def default_track(folder: Path) -> Expected:
    """The first of two tracks is silent, the second is the default."""
    numbered_video(folder / "two.mkv", 50, [AudioTrack(silence, default=False), AudioTrack(sine(440), default=True)])
    return {"two.mkv": {"tracks": 2, "track": 1, "audio_seconds": 2.0, "hertz": 440, "rms": 0.354}}


@case(
    "alexheretic/ab-av1#351, immich-app/immich#30511, Nevcairiel/LAVFilters#620",
    "Phones write a spatial track in a codec that few can decode beside one of AAC, which is to be taken.",
)
def unknown_track_first(folder: Path) -> Expected:
    """`spatial.mp4`: an unknown codec of 300 Hz, then AAC of 440 Hz. `unknown.mp4`: the unknown track alone."""
    numbered_video(folder / "spatial.mp4", 50, [AudioTrack(sine(300)), AudioTrack(sine(440))])
    numbered_video(folder / "unknown.mp4", 25, [AudioTrack(sine(300))])
    for path in (folder / "spatial.mp4", folder / "unknown.mp4"):
        content = path.read_bytes()
        at = content.index(b"mp4a", content.index(b"stsd", content.index(b"soun")))  # the first audio track's codec
        path.write_bytes(content[:at] + content[at:].replace(b"mp4a", b"apac", 1).replace(b"esds", b"free", 1))
    return {
        "spatial.mp4": {"tracks": 2, "track": 1, "audio_seconds": 2.0, "hertz": 440, "frames": 50},
        "unknown.mp4": {"tracks": 1, "tracks_that_can_be_decoded": 0, "frames": 25},
    }


@case(
    "heygen-com/hyperframes#1648",
    "Audio may outlast the images by far (a song with its cover): the last image stays until the audio ends.",
)
def audio_outlasts_images(folder: Path) -> Expected:
    """`song.mp4`: one image; `short.mp4`: two seconds of them; six seconds of audio each, with a click at 5 s."""
    right = {"fps": 25, "audio_seconds": 6.0, "video_seconds": 6.0, "click_seconds": [1.0, 5.0]}
    counts = {"song.mp4": 1, "short.mp4": 50}
    for name, count in counts.items():
        numbered_video(folder / name, count, [AudioTrack(clicks([1.0, 5.0]))], audio_seconds=6)
    return {name: {**right, "frames": count, "number_at_end": count - 1} for name, count in counts.items()}


@case(
    "FallingSnow/h265ize#119, ozmartian/vidcutter#126, photoprism/photoprism#2899, python-pillow/Pillow#2806",
    "Folders of cameras hold .MTS, .m2ts, .VOB, .qt and .HEIC, in capitals too; none may be passed over unsaid.",
)
def names_of_cameras(folder: Path) -> Expected:
    """Five videos of one folder, each under another ending, and a photograph."""
    numbered_video(folder / "clip.mp4", 50, [AudioTrack(sine(440))])
    stream = {"format": "mpegts", "container_options": {"mpegts_m2ts_mode": "1"}}  # packets of 192 bytes
    numbered_video(folder / "00001.MTS", 50, [AudioTrack(sine(440), "ac3")], **stream)
    shutil.copy(folder / "00001.MTS", folder / "00002.m2ts")
    numbered_video(folder / "VTS_01_1.VOB", 50, [AudioTrack(sine(440), "mp2")], codec="mpeg2video", format="vob")
    numbered_video(folder / "old.qt", 50, [AudioTrack(sine(440), "pcm_s16be")], codec="mpeg4", format="mov")
    write_heic(folder / "IMG_0001.HEIC", corner_image())
    video = {"frames": 50, "audio_seconds": 2.0, "hertz": 440}
    names = ("clip.mp4", "00001.MTS", "00002.m2ts", "VTS_01_1.VOB", "old.qt")
    return {
        ".": {"videos": 5, "images": 1},
        "IMG_0001.HEIC": {"frames": 1, "size": (128, 96), "red_center": (24.5, 19.5)},
        **{name: dict(video) for name in names},
    }


@case(
    "Gagravarr/VorbisJava#53, scummvm/scummvm#7427",
    "A packet without bytes repeats the last frame (a screen on which nothing moves); it is not a damaged one.",
)
def repeated_frames(folder: Path) -> Expected:
    """Four seconds at 25 a second. Theora: bright from 2.0 to 2.2 s, three packets have bytes. AVI: every tenth has."""
    audio = folder / "audio.ogg"
    soundfile.write(audio, sample(sine(440), 4, 44100), 44100)
    write_theora(folder / "screen.ogv", range(50, 55), 100, 25, audio)
    audio.unlink()
    numbered_video(folder / "screen.avi", 10, [AudioTrack(sine(440), "pcm_s16le")], codec="mpeg4", repeat=10)
    right = {"fps": 25, "video_seconds": 4.0, "audio_seconds": 4.0, "hertz": 440, "damaged_packets": 0}
    return {
        "screen.ogv": {**right, "frames": 100, "frames_that_differ": 3, "bright_from": 2.0, "bright_until": 2.2},
        "screen.avi": {**right, "frames": 100, "frames_that_differ": 10, "seconds_of_each": 0.4},
    }


@case(
    "meta-pytorch/torchcodec#1448, meta-pytorch/torchcodec#1449",
    "A window from the middle holds what the whole has there; codecs with a memory need some frames ahead of it.",
)
def audio_from_the_middle(folder: Path) -> Expected:
    """Six seconds of `chord`: compare each 20 ms of a window with it, at the one shift that suits the window best."""
    kinds = {
        "mp3.avi": ("mpeg4", "libmp3lame"),
        "mp3.mp4": ("libx264", "libmp3lame"),
        "mp3.mkv": ("libx264", "libmp3lame"),
        "aac.mp4": ("libx264", "aac"),
        "opus.mkv": ("libx264", "libopus"),
        "pcm.mov": ("libx264", "pcm_s16le"),
    }
    for name, (codec, audio) in kinds.items():
        numbered_video(folder / name, 150, [AudioTrack(chord, audio)], codec=codec)
    right = {"audio_seconds": 6.0, "window_starts": [1.0, 2.37, 3.9], "least_correlation": 0.9}
    return {name: {**right, "most_shift_seconds": 0.03} for name in kinds}  # that of MP3's coder, which AVI keeps


@case(
    "Nevcairiel/LAVFilters#90, heygen-com/hyperframes#3220",
    "What is transparent in a video is not seen: neither may the color below it be.",
)
def transparent_video(folder: Path) -> Expected:
    """The left half is opaque (200, 60, 30); the right half hides green: white on paper, black in players."""
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, :32], image[:, 32:] = (200, 60, 30, 255), (0, 255, 0, 0)
    kinds = {"png.mov": ("png", "rgba", {}), "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"})}
    for name, (codec, pixels, options) in kinds.items():
        write_video(folder / name, [image] * 10, codec=codec, pixels=pixels, fps=10, options=options)
    right = {"frames": 10, "left_color": (200, 60, 30), "right_colors": [(255, 255, 255), (0, 0, 0)]}
    return {name: {**right, "color_tolerance": 8} for name in kinds}


@case(
    "no thread: seen in a comparison of readers",
    "A frame can be had by its time from every container, though AVI has no times and a seek may land behind it.",
)
def next_frame(folder: Path) -> Expected:
    """Image n is shown at n / 25 s, counted from the first; the next one is n + 1."""
    kinds = {
        "h264.mp4": ("libx264", 3),
        "h264.mkv": ("libx264", 3),
        "h264.avi": ("libx264", 2),
        "h264.ts": ("libx264", 0),
        "h264_b.ts": ("libx264", 3),
        "h265.mp4": ("libx265", 3),
        "mpeg4.mp4": ("mpeg4", 2),
    }
    for name, (codec, b_frames) in kinds.items():
        audio = "pcm_s16le" if name.endswith("avi") else "aac"
        numbered_video(folder / name, 60, [AudioTrack(sine(440), audio)], codec=codec, b_frames=b_frames, gop=12)
    pairs = [(0.0, 0, 1), (0.36, 9, 10), (0.4, 10, 11), (0.88, 22, 23), (1.4, 35, 36), (2.32, 58, 59)]
    right = {"frames": 60, "fps": 25, "seconds_number_next": pairs}
    return {name: dict(right) for name in kinds}


# Cases: annotations and data sets
@case(
    "guojiajeremy/Dinomaly#14, hzlsaber/SIDA#25",
    "A mask with soft edges (resized, or from an annotation tool) covers what is above a half, not all above 0.",
)
def soft_mask(folder: Path) -> Expected:
    """An ellipse; `area` is its share of the image where it was drawn, at 960 x 640."""
    drawing = Image.new("L", (960, 640))
    ImageDraw.Draw(drawing).ellipse((300, 200, 620, 440), fill=255)
    small = drawing.resize((120, 80), Image.Resampling.BILINEAR)
    small.save(folder / "bilinear.png")
    drawing.resize((120, 80), Image.Resampling.LANCZOS).save(folder / "lanczos.png")
    small.resize((480, 320), Image.Resampling.BICUBIC).save(folder / "enlarged.png")
    area = round(float((np.asarray(drawing) > 127).mean()), 4)
    return {name: {"area": area, "area_tolerance": 0.002} for name in ("bilinear.png", "lanczos.png", "enlarged.png")}


@case(
    "NVIDIA-Merlin/models#617, scikit-learn/scikit-learn#6377",
    "Ties are no hits: a model that gives every sound the same embedding has the recall of chance.",
)
def recall_of_a_deaf_model(folder: Path) -> Expected:
    """Scores full of ties; the right answer to row i is column i. `recall` is in expectation, over the order of ties.

    `grouped.npy` has two recordings of five images each, as AVSBench has: half of the rows prefer the wrong recording,
    so recall is that of chance, however one counts; `recall_of_recordings` takes any of five equal columns for right.
    `s4` is a set of that kind in AVSBench's own layout, whose images are noise.
    """
    rng = np.random.default_rng(0)
    np.save(folder / "equal.npy", np.ones((100, 100), np.float32))
    np.save(folder / "images.npy", rng.standard_normal((100, 16)).astype(np.float32))
    np.save(folder / "audios.npy", np.ones((100, 16), np.float32))
    recordings = np.repeat([0, 1], 5)
    preferred = np.array([0, 1, 0, 1, 0] * 2)
    np.save(folder / "grouped.npy", (recordings[None] == preferred[:, None]).astype(np.float32))
    _write_s4(folder / "s4", rng)
    recall = {"1": 0.01, "5": 0.05, "10": 0.1}
    kinds = {"items": 10, "recordings": 2, "chance": {"1": 0.1, "5": 0.5}, "chance_of_recordings": {"1": 0.5}}
    return {
        "equal.npy": {"recall": recall, "chance": recall},
        "audios.npy": {"recall": recall, "chance": recall},  # as embeddings, asked by those of images.npy
        "grouped.npy": {**kinds, "recall": {"1": 0.1, "5": 0.5, "10": 1.0}, "recall_of_recordings": {"1": 0.5}},
        "s4": kinds,
    }


def _write_s4(root: Path, rng: np.random.Generator) -> None:
    entries = []
    for index, clip in enumerate(("aaaaaaaaaaa", "bbbbbbbbbbb")):
        audio, images, masks = (root / kind / "test" / "cat" for kind in ("audio_wav", "visual_frames", "gt_masks"))
        for path in (audio, images / clip, masks / clip):
            path.mkdir(parents=True, exist_ok=True)
        soundfile.write(audio / f"{clip}.wav", sample(sine(300 + 400 * index), 5, 16000), 16000)
        for second in range(1, 6):
            name = f"{clip}/{clip}_{second}.png"
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(images / name)
            mask = np.zeros((64, 64), np.uint8)
            mask[16:44, 20:48] = 255
            Image.fromarray(mask).save(masks / name)
            keys = {"image": images / name, "audio": audio / f"{clip}.wav", "gt_box": masks / name}
            paths = {key: f"/{path.relative_to(root.parent).as_posix()}" for key, path in keys.items()}
            entries.append({**paths, "offset": second})
    (root / "s4_seg.json").write_text(json.dumps(entries, indent=1))


@case(
    "webdataset/webdataset#237 (names in shards); the lost folder: seen in a comparison of readers",
    "An id may begin and end with two underscores; webdataset takes such a first folder of a shard for its notes.",
)
def dunder_folder(folder: Path) -> Expected:
    """Three clips, each in a folder of its id. No member of shards made of them may begin with `__...__/`."""
    ids = ("AbCdEfGhIjK", "__0aBcDeF__", "__0aBcDeFgh")
    for number, name in enumerate(ids):
        (folder / "clips" / name).mkdir(parents=True, exist_ok=True)
        numbered_video(folder / "clips" / name / "frame.mp4", 25, [AudioTrack(sine(400 + 100 * number))])
    right = {f"clips/{name}/frame.mp4": {"frames": 25, "hertz": 400 + 100 * number} for number, name in enumerate(ids)}
    return {"clips": {"videos": 3, "samples_that_webdataset_reads": 3}, **right}
