"""Ids of clips: the forms that one clip's id takes in lists and in file names, reduced to one.

A VGGSound clip is `<YouTube id>_<start second>` (11 and 6 characters), or `<YouTube id>_<start>_<end>` in milliseconds
in SSLalignment's layout. A YouTube id may hold `_` and `-`, so names are cut by position. Flickr's are numbers.
"""

import re

_SECONDS = re.compile(r"[\w-]{11}_\d{6}", re.ASCII)
_MILLISECONDS = re.compile(r"([\w-]{11})_(\d+)000_(\d+)000|([\w-]{11})_0_10000", re.ASCII)
_YOUTUBE = re.compile(r"[\w-]{11}", re.ASCII)
_MEDIA = (".jpg", ".jpeg", ".png", ".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".xml")


def normalize_clip_id(name: str) -> str:
    """Return the id that a cell of a list or a file name stands for.

    `zpWuikVorYg_32000_42000`, `zpWuikVorYg_000032.jpg` -> `zpWuikVorYg_000032`; `videos/0/0/0/26150.mp4` -> `26150`.

    Args:
        name: id, file name or path, with or without the suffix of a media file.

    Returns:
        The clip id. Ids of neither VGGSound nor Flickr keep their folders and lose only a media suffix and outer
        spaces.
    """
    id = name.strip()
    stem, dot, suffix = id.rpartition(".")
    if dot + suffix.lower() in _MEDIA:
        id = stem
    last = id.rpartition("/")[2]
    milliseconds = _MILLISECONDS.fullmatch(last)
    if milliseconds:
        video, start, end, from_zero = milliseconds.groups()
        if from_zero:
            return f"{from_zero}_000000"
        return f"{video}_{int(start):06d}" if int(end) - int(start) == 10 else last
    return last if _SECONDS.fullmatch(last) or last.isdecimal() else id


def sample_key(file: str) -> str:
    """Return the key of a file's sample in shards.

    Args:
        file: path below the root, with `/` between its parts and with a suffix.

    Returns:
        The path without its suffix, and with `_` for each other dot.
    """
    return replace_dots(file.rpartition(".")[0])


def replace_dots(name: str) -> str:
    """Replace each dot of a name by `_`, as dots end the key of a sample in shards.

    Args:
        name: any name.

    Returns:
        The name without dots.
    """
    return name.replace(".", "_")


def to_millisecond_id(id: str) -> str:
    """Return the name of a VGGSound clip in SSLalignment's layout, `<YouTube id>_<start>_<end>` in milliseconds.

    Args:
        id: id of a clip.

    Returns:
        The name, for a clip of 10 s; an id not of VGGSound's form is returned unchanged.
    """
    if not _SECONDS.fullmatch(id):
        return id
    start = int(id[12:])
    return f"{id[:11]}_{1000 * start}_{1000 * (start + 10)}"


def youtube_id(id: str) -> str:
    """Return the YouTube id of a clip.

    Args:
        id: id of a VGGSound clip, or a YouTube id itself.

    Returns:
        The 11 characters; empty for an id of any other form.
    """
    if id_format(id) == "vggsound":
        return id[:11]
    return id if _YOUTUBE.fullmatch(id) and not id.isdecimal() else ""


def id_format(id: str) -> str:
    """Recognize the data set of a clip by the form of its id.

    Args:
        id: id of a clip, normalized.

    Returns:
        `vggsound` for `<YouTube id>_<six digits>`, `flickr` for a whole number; empty for any other form.
    """
    if _SECONDS.fullmatch(id):
        return "vggsound"
    return "flickr" if id.isdecimal() else ""
