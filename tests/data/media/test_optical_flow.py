"""Optical flow: what moves is found, what stands is 0, and its 8-bit form is the released one."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clips import write_video
from soundspot.cli.main import main
from soundspot.config.frontend import ImageSpec
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import preprocess_images
from soundspot.data.media.optical_flow import (
    FLOW_ALGORITHMS,
    FlowFolder,
    as_flow,
    compute_optical_flow,
    encode_flow,
    flow_to_image,
    quantize_flow,
)
from soundspot.data.media.video import Video
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.extract_flow import extract_flow
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos
from soundspot.errors import DataError, InputError, RecipeError

av: Any = pytest.importorskip("av")
cv2: Any = pytest.importorskip("cv2")


def texture(side: int = 96) -> np.ndarray:
    """Smooth noise, which flow can follow."""
    noise = np.random.RandomState(0).rand(side, side, 3).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def film(path: Path, frames: int = 20, step: int = 3) -> list[Image.Image]:
    """A texture that moves `step` pixels to the right in each frame, without loss."""
    pictures = [np.roll(texture(), step * i, axis=1) for i in range(frames)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 96
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return [Image.fromarray(picture) for picture in pictures]


@pytest.mark.parametrize("how", FLOW_ALGORITHMS)
def test_what_moves_is_found_and_what_stands_is_exactly_zero(how: Any) -> None:
    before = Image.fromarray(texture())
    after = Image.fromarray(np.roll(texture(), (2, 3), axis=(0, 1)))  # two down, three to the right
    flow = compute_optical_flow(before, after, how)[:, 20:-20, 20:-20]
    assert flow.median(dim=-1).values.median(dim=-1).values.tolist() == pytest.approx([3, 2], abs=0.2)
    still = compute_optical_flow(before, before.copy(), how)
    assert still.shape == (2, 96, 96)
    assert not still.any()
    assert not quantize_flow(still).any()


def test_farneback_is_called_as_the_release_calls_it() -> None:
    one, two = texture(), np.roll(texture(), 2, axis=0)
    grey = [cv2.cvtColor(x[..., ::-1], cv2.COLOR_BGR2GRAY) for x in (one, two)]  # it reads BGR
    theirs = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    ours = compute_optical_flow(Image.fromarray(one), Image.fromarray(two))
    assert np.array_equal(ours.numpy(), theirs.transpose(2, 0, 1))


def test_the_8_bit_form_is_what_opencv_writes(tmp_path: Path) -> None:
    """`cv2.imwrite` of a float picture, as the release stores flow, here without JPEG's loss."""
    flow = torch.tensor([[-3.0, -0.6, 0.0, 0.4, 0.5, 1.5, 2.5, 7.49, 254.6, 300.0]]).expand(2, 4, 10).contiguous()
    cv2.imwrite(str(tmp_path / "theirs.png"), flow[0].numpy())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "theirs.png")), quantize_flow(flow)[0].numpy())
    assert quantize_flow(flow)[0, 0].tolist() == [0, 0, 0, 0, 0, 2, 2, 7, 255, 255]


def test_a_folder_reads_what_it_wrote_and_jpeg_too(tmp_path: Path) -> None:
    for part in ("flow_x", "flow_y"):
        (tmp_path / part).mkdir()
        Image.new("L", (8, 6), 40).save(tmp_path / part / "old.jpg")
    FlowFolder(tmp_path).write("new", encode_flow(torch.full((2, 6, 8), 3.0)))
    folder = FlowFolder(tmp_path)
    assert torch.equal(folder.read("new"), torch.full((2, 6, 8), 3.0))
    assert torch.equal(folder.read("old"), torch.full((2, 6, 8), 40.0))
    with pytest.raises(DataError, match=r"found no flow_x/other.png"):
        folder.read("other")
    Image.new("L", (8, 5)).save(tmp_path / "flow_y" / "new.png")
    with pytest.raises(DataError, match=r"is \(8, 6\) and .* is \(8, 5\), expected one size"):
        folder.read("new")


def test_flow_is_resized_as_its_picture_is() -> None:
    """Each way of resizing: a flow equal to two of the picture's colours comes out equal to them."""
    picture = Image.fromarray(texture()[:64])
    flow = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[:2].float()
    for resize in ("squash", "crop", "squash-tensor", "squash-tensor-antialias"):
        spec = ImageSpec(size=32, resize=resize, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), flow=True)
        planes = preprocess_images([picture], spec, [flow_to_image(flow)])
        assert planes.shape == (1, 5, 32, 32)
        torch.testing.assert_close(planes[:, 3:], planes[:, :2], rtol=0, atol=1e-6)


def test_two_frames_in_the_middle_and_elsewhere(tmp_path: Path) -> None:
    frames = film(tmp_path / "a.mkv")  # two seconds of ten frames each
    with Video(tmp_path / "a.mkv") as opened:
        for moment, first in ((1.0, 10), (0.0, 0), (0.52, 5), (2.0, 18)):
            pair = opened.frame_pair(moment)
            assert [one.tobytes() for one in pair] == [frames[first].tobytes(), frames[first + 1].tobytes()], moment


def test_a_folder_of_videos_becomes_a_folder_of_flow(tmp_path: Path, capsys: Any) -> None:
    videos, output = tmp_path / "videos", tmp_path / "flow"
    (videos / "deeper").mkdir(parents=True)
    film(videos / "one.mkv")
    film(videos / "deeper" / "two.mkv", step=0)
    (videos / "three.mp4").write_bytes(b"no video")
    film(videos / "four.mkv", frames=1)
    assert main(["data", "flow", str(videos), "-o", str(output), "--workers", "0"]) == 0
    said = capsys.readouterr().out
    assert "0 existed already" in said
    assert "flow: 2 samples" in said
    assert "1 left out: one frame" in said
    told = [json.loads(line) for line in (output / "journal.jsonl").read_text().splitlines()]
    assert [(one["input"], one["cause"]) for one in told] == [("four.mkv", "one frame"), ("three.mp4", "unreadable")]
    moved, still = FlowFolder(output).read("one"), FlowFolder(output).read("deeper/two")
    assert moved[0, 20:-20, 20:-20].median() == 3
    assert not still.any()
    (output / "flow_y" / "deeper" / "two.png").unlink()  # as if it had been stopped there
    (videos / "three.mp4").unlink()
    (videos / "four.mkv").unlink()
    for other in (["--algorithm", "dis"], ["--position", "0.25"]):
        assert main(["data", "flow", str(videos), "-o", str(output), *other, "--workers", "0"]) == 2
        assert "made with other options" in capsys.readouterr().err
    assert main(["data", "flow", str(videos), "-o", str(output), "--workers", "0"]) == 0
    said = capsys.readouterr().out
    assert "1 existed already" in said
    assert "flow: 1 samples" in said
    assert not (output / "journal.jsonl").read_text()


def test_a_run_killed_at_its_beginning_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "one.mp4").touch()
    with monkeypatch.context() as patch:
        patch.setattr("soundspot.data.shards.extract_flow.write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0))
    assert extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0)).total() == 1


def test_flow_and_shards_of_one_folder_call_a_video_alike(tmp_path: Path) -> None:
    for name in ("one.mp4", "below/one.mp4", "below/v.2.mp4"):
        write_video(tmp_path / "videos" / name, seconds=0.6)
    extract_flow(tmp_path / "videos", tmp_path / "flow", ProcessExecutor(0))
    write_shards_from_videos(
        tmp_path / "videos", tmp_path / "shards", ExtractionOptions(seconds=0.5), ProcessExecutor(0)
    )
    data: Any = open_dataset("shards", tmp_path / "shards", flow=tmp_path / "flow")
    assert {data.id(i) for i in range(3)} == {"one", "below/one", "below/v_2"}
    assert all(data.read_flow(i).shape == (2, 48, 64) for i in range(3))
    assert FlowFolder(tmp_path / "flow").find_files("below/v.2"), "as a list may call it"
    write_shards_from_videos(
        tmp_path / "videos", tmp_path / "two", ExtractionOptions(seconds=0.5, frames="2"), ProcessExecutor(0)
    )
    with pytest.raises(DataError, match="several frames of a clip, and flow is of its middle frame"):
        open_dataset("shards", tmp_path / "two", flow=tmp_path / "flow")


def test_what_cannot_be_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    picture = Image.fromarray(texture())
    with pytest.raises(InputError, match=r"frames of \(96, 96\) and \(48, 48\), expected one size"):
        compute_optical_flow(picture, picture.resize((48, 48)))
    with pytest.raises(RecipeError, match=r"unknown optical flow 'farnback'. Did you mean 'farneback'"):
        compute_optical_flow(picture, picture, "farnback")
    for wrong in (np.zeros((3, 4, 4)), np.full((2, 4, 4), np.nan), "no.png"):
        with pytest.raises(InputError, match=r"expected (finite )?numbers \(2, h, w\)"):
            as_flow(wrong)
    with pytest.raises(DataError, match="found no videos"):
        extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0))
    for name in ("one.mp4", "one.mkv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found 1 names twice \(first: one\)"):
        extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0))
    with pytest.raises(RecipeError, match="position: found 2, expected a fraction"):
        extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0), position=2)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RecipeError, match=r"pip install 'soundspot\[flow\]'"):
        extract_flow(tmp_path, tmp_path / "out", ProcessExecutor(0))


# Scenes that move.


def test_the_things_of_a_scene_drift_whether_they_sound_or_not() -> None:
    options = {"length": 60, "size": 64, "seconds": 0.2}
    still, moving = open_dataset("scenes", **options), open_dataset("scenes", motion=4, **options)
    speeds: dict[bool, list[float]] = {True: [], False: []}
    for i in range(60):
        assert moving.read_image(i).tobytes() == still.read_image(i).tobytes()
        assert not still.read_flow(i).any()  # type: ignore[attr-defined]
        flow = moving.read_flow(i)  # type: ignore[attr-defined]
        sounds = moving.ground_truth(i).mask
        assert sounds is not None
        drift = flow[:, sounds]
        assert bool((drift == drift[:, :1]).all())  # as one
        assert not flow[:, ~moving_things(moving, i)].any()
        others = flow[:, moving_things(moving, i) & ~sounds]
        speeds[True].append(float(drift[:, 0].norm()))
        speeds[False] += others.norm(dim=0).unique().tolist()
    assert min(speeds[True]) > 0.7
    assert max(speeds[True]) < 4.8
    assert np.mean(speeds[True]) == pytest.approx(np.mean(speeds[False]), abs=0.5)
    with pytest.raises(RecipeError, match="motion is the most pixels a frame"):
        open_dataset("scenes", motion=-1)


def moving_things(scenes: Any, index: int) -> torch.Tensor:
    return torch.stack([placed.mask for placed in scenes._scene(index).objects]).any(dim=0)
