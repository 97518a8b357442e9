"""A frame is shown as players show it: turned, mirrored, with what is transparent laid on white."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from soundspot.data.media.frame_image import orient
from soundspot.data.media.video import Video

STORED = np.arange(6, dtype=np.uint8).reshape(2, 3)  # row by row
ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]]),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]]),
        ((1, 0, 0, -1), [[3, 4, 5], [0, 1, 2]]),
        ((-1, 0, 0, -1), [[5, 4, 3], [2, 1, 0]]),
        ((0, 1, 1, 0), [[0, 3], [1, 4], [2, 5]]),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]]),
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]]),
        ((0, -1, -1, 0), [[5, 2], [4, 1], [3, 0]]),
    ],
)
def test_all_eight_orientations(matrix: tuple[int, int, int, int], shown: list[list[int]]) -> None:
    a, b, c, d = (value * ONE for value in matrix)
    upright = orient(Image.fromarray(STORED), np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32))
    assert np.asarray(upright).tolist() == shown


def test_transparent_webm_is_laid_on_white(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, :32], image[:, 32:] = (200, 60, 30, 255), (0, 255, 0, 0)
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuva420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(image, format="rgba")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with Video(tmp_path / "a.webm") as video:
        pixels = np.asarray(video.frames_at([0.2])[0][1]).astype(int)
    assert np.abs(pixels[32, 10] - (200, 60, 30)).max() < 12
    assert pixels[32, 55].min() > 243
