"""Names of clips: the forms that one clip's id takes in lists and on disks, brought to one.

A VGGSound clip is `<YouTube id>_<start second>` (11 and 6 characters), or `<YouTube id>_<start>_<end>` in milliseconds
on the disks of SSLalignment. A YouTube id may hold `_` and `-`, so names are cut by position. Flickr's are numbers.
"""

import re

_SECONDS = re.compile(r"[\w-]{11}_\d{6}", re.ASCII)
_MILLISECONDS = re.compile(r"([\w-]{11})_(\d+)000_(\d+)000|([\w-]{11})_0_10000", re.ASCII)
_YOUTUBE = re.compile(r"[\w-]{11}", re.ASCII)
_MEDIA = (".jpg", ".jpeg", ".png", ".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".xml")


def normalize_clip_id(name: str) -> str:
    """The id that a cell of a list or a file's name stands for; what is no VGGSound or Flickr id stays as it is.

    `zpWuikVorYg_32000_42000`, `zpWuikVorYg_000032.jpg` -> `zpWuikVorYg_000032`; `videos/0/0/0/26150.mp4` -> `26150`.
    """
    bare = name.strip()
    stem, dot, suffix = bare.rpartition(".")
    if dot + suffix.lower() in _MEDIA:
        bare = stem
    last = bare.rpartition("/")[2]
    milliseconds = _MILLISECONDS.fullmatch(last)
    if milliseconds:
        video, start, end, from_zero = milliseconds.groups()
        if from_zero:
            return f"{from_zero}_000000"
        return f"{video}_{int(start):06d}" if int(end) - int(start) == 10 else last
    return last if _SECONDS.fullmatch(last) or last.isdecimal() else bare


def sample_key(file: str) -> str:
    """What a file is called once it is prepared: its path below the root (`/` between its parts) without suffix, and
    without dots, which end the key of a sample in shards."""
    return replace_dots(file.rpartition(".")[0])


def replace_dots(name: str) -> str:
    """A name as a key: dots become `_`."""
    return name.replace(".", "_")


def to_millisecond_id(id: str) -> str:
    """The name of a VGGSound clip on SSLalignment's disks; other ids as they are."""
    if not _SECONDS.fullmatch(id):
        return id
    start = int(id[12:])
    return f"{id[:11]}_{1000 * start}_{1000 * (start + 10)}"


def youtube_id(id: str) -> str:
    """The YouTube id of a VGGSound clip's id, or of one that is a YouTube id itself; empty for any other."""
    if id_format(id) == "vggsound":
        return id[:11]
    return id if _YOUTUBE.fullmatch(id) and not id.isdecimal() else ""


def id_format(id: str) -> str:
    """`vggsound`, `flickr`, or empty where an id has the form of neither."""
    if _SECONDS.fullmatch(id):
        return "vggsound"
    return "flickr" if id.isdecimal() else ""
