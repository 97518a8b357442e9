"""Frames have their own times whatever a container says of them: too little, too much, or of another clock."""

import struct
from pathlib import Path
from typing import Any

import pytest

import soundspot
from media_writers import AudioTrack, numbered_video, read_number, sine
from soundspot.data.media.video import Video

TONE = [AudioTrack(sine(440))]


def check(path: Path, numbers: list[int], fps: int = 25) -> Any:
    """All frames in order and at their times, each found again by its time, and the next one after it."""
    with soundspot.open_video(path) as video:
        frames = list(video.frames())
        assert ([read_number(image) for _, image in frames], video.damaged) == (numbers, 0)
        assert [time for time, _ in frames] == pytest.approx([n / fps for n in range(len(numbers))], abs=2e-3)
    with Video(path) as video:
        for n in (7, 0, len(numbers) - 2, 13):
            assert read_number(video.frames_at([n / fps])[0][1]) == numbers[n]
            after = video.frame_after(n / fps)
            assert after is not None
            assert read_number(after) == numbers[n + 1]
        return video.table


def test_what_an_edit_list_cuts_off_is_decoded_and_not_shown(tmp_path: Path) -> None:
    """A phone that trims a clip leaves the frames since the last key frame in it."""
    path = tmp_path / "a.mp4"
    numbered_video(path, 60, TONE, gop=25)
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12
    duration, start = struct.unpack_from(">Ii", content, place)
    struct.pack_into(">Ii", content, place, duration * 50 // 60, start + 10 * 512)
    path.write_bytes(content)
    check(path, list(range(10, 60)))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_without_times_are_in_the_order_of_the_decoder(tmp_path: Path, b_frames: int) -> None:
    """H.264 in a program stream, of which a packet holds several frames and tells the time of one."""
    path = tmp_path / "a.mpg"
    numbered_video(path, 60, [AudioTrack(sine(440), "mp2")], codec="libx264", b_frames=b_frames, gop=12, format="mpeg")
    check(path, list(range(60)))


@pytest.mark.parametrize("b_frames", [0, 1, 3])
def test_times_of_decoding_are_dealt_to_the_frames(tmp_path: Path, b_frames: int) -> None:
    """ASF knows the order of decoding alone."""
    path = tmp_path / "a.asf"
    numbered_video(path, 60, codec="libx264", b_frames=b_frames, gop=12, format="asf")
    check(path, list(range(60)))


def test_a_joined_matroska_restarts_once(tmp_path: Path) -> None:
    for number in range(2):
        part = tmp_path / f"{number}.mkv"
        numbered_video(part, 30, TONE, b_frames=2, gop=12)
        with (tmp_path / "joined.mkv").open("ab") as file:
            file.write(part.read_bytes())
    assert len(check(tmp_path / "joined.mkv", [*range(30), *range(30)]).shifts) == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_time_stamp_far_ahead_makes_no_hours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"far.{suffix}"
    numbered_video(path, 25, TONE, jump=(0.8, 20000.0))
    check(path, list(range(25)))
    assert soundspot.read_audio(path).seconds == pytest.approx(1.0, abs=0.06)
    with Video(path) as video:
        assert "restarts 1 times" in video.notes[0]


def test_a_video_track_that_cannot_be_decoded_is_passed_over(tmp_path: Path) -> None:
    import av

    path, single = tmp_path / "two.mkv", tmp_path / "one.mkv"
    numbered_video(single, 25, [], gop=12)
    with av.open(str(single)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(source.streams.video[0]) for _ in range(2)]
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            for stream in streams:
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.time_base, again.is_keyframe = (
                    packet.pts, packet.dts, packet.time_base, packet.is_keyframe,
                )  # fmt: skip
                again.stream = stream
                target.mux(again)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX", 1))
    check(path, list(range(25)))


@pytest.mark.parametrize(("suffix", "codec", "audio"), [("flv", "libx264", "aac"), ("wmv", "wmv2", "wmav2")])
def test_a_joined_file_of_which_only_the_first_can_be_read_says_so(
    tmp_path: Path, suffix: str, codec: str, audio: str
) -> None:
    part = tmp_path / f"part.{suffix}"
    numbered_video(part, 60, [AudioTrack(sine(440), audio, 44100)], codec=codec)
    (tmp_path / f"joined.{suffix}").write_bytes(2 * part.read_bytes())
    with soundspot.open_video(part) as one, soundspot.open_video(tmp_path / f"joined.{suffix}") as two:
        assert not any("of the file can be read" in note for note in one.notes)
        is_said = any("of the file can be read: it may be several files" in note for note in two.notes)
        assert is_said or len(list(two.frames())) == 120
