"""Frame results as data, in files that grow frame by frame: a JSON record per frame, and raw maps as arrays."""

import json
import shutil
import zipfile
from array import array
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from soundspot.data.media.rle import count_runs
from soundspot.inference.events.options import EventOptions
from soundspot.inference.result import MaskThreshold
from soundspot.inference.video.presence import PresenceMeter
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo
from soundspot.utils.npy_writer import make_npy_header


class FrameRecordWriter(FrameWriter):
    """Write JSON: facts of the video, `frames` with the boxes and the mask (RLE) of each, one a line, and `notes`.

    `seconds` has the presence of each second (`SecondPresence.to_dict`).
    A frame without a source of the sound has no box and an empty mask. Where contours are made, the header names their
    segmenter (`contour`), and each frame has `contours` (`Contour.to_dict`): those of the last frame that was traced,
    up to a fifth of a second before.

    Args:
        path: path of the JSON file.
        info: facts of the video.
        mask_threshold: threshold of the masks and their boxes (see `LocalizationMap.mask`).
        event_options: options of the events that are written beside the records; None: there are none.
    """

    def __init__(
        self, path: Path, info: VideoInfo, mask_threshold: MaskThreshold, event_options: EventOptions | None = None
    ) -> None:
        super().__init__(path, info)
        self._mask_threshold, self._meter, self._event_options = mask_threshold, PresenceMeter(), event_options

    def add(self, frame: FrameResult) -> None:
        """Write the record of the next frame; the first frame opens the file and writes its header.

        Args:
            frame: result of the frame.
        """
        self._meter.add(frame)
        result = frame.map
        probability = result.presence_probability
        is_drawn = result.present is not False
        mask = result.mask(self._mask_threshold).numpy() if is_drawn else np.zeros(result.size, bool)
        record: dict[str, Any] = {
            "time": round(frame.time, 4),
            "present": result.present,
            "presence_probability": None if probability is None else round(probability, 4),
            "peak": round(result.peak, 5),
            "confidence": round(result.confidence, 5),
            "peak_at": list(result.peak_at),
            "silent": result.is_silent,
            "boxes": [list(box) for box in result.boxes(self._mask_threshold)] if is_drawn else [],
            "mask": {"size": list(result.size), "counts": count_runs(mask.T)},
        }
        if self._info.contour is not None:
            record["contours"] = [contour.to_dict() for contour in result.contours if is_drawn]
        line = json.dumps(record, separators=(", ", ":"))
        if self._file is None:
            header = {
                "video": self._info.path.name,
                "path": self._info.path.as_posix(),
                "audio": self._info.audio,
                "audio_track": self._info.audio_track,
                "model": self._info.title,
                "model_id": self._info.model_id,
                "size": list(result.size),
                "threshold": result.threshold,
                "mask_threshold": self._mask_threshold,
                "audio_seconds": self._info.audio_seconds,
                "maps_per_second": self._info.maps_per_second,
                **({} if self._event_options is None else {"event_options": asdict(self._event_options)}),
                **({} if self._info.contour is None else {"contour": self._info.contour}),
            }
            self._file = self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps(header)[:-1] + ', "frames": [\n' + line)
        else:
            self._file.write(",\n" + line)

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Write the end of the list of frames, the seconds and the notes, and close the file; needs at least one frame.

        Args:
            notes: sentences for a reader of the file, its key `notes`.
            end_time: end of the video in seconds, not written here.
        """
        assert self._file is not None, "a video has at least one frame"
        seconds = ",\n".join(json.dumps(second.to_dict()) for second in self._meter.seconds())
        self._file.write(f'\n], "seconds": [\n{seconds}\n], "notes": {json.dumps(list(notes))}}}\n')
        self._file.close()


class VideoMapWriter(FrameWriter):
    """Write an .npz of the raw maps of all n frames.

    It holds `scores` (n, h, w) float32; `times` (n,) in seconds; `present` (n,), 1, 0, or -1 where it is not known;
    `size` (height, width) of the frames in pixels; and `region`, the part of a frame that a map covers, as fractions
    x0, y0, x1, y1.

    Args:
        path: path of the .npz file; the scores are collected in a file `scores` beside it.
        info: facts of the video.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        super().__init__(path, info)
        self._scores_path = path.with_name("scores")
        self._times, self._present = array("d"), array("b")

    def add(self, frame: FrameResult) -> None:
        """Append the scores of the next frame to the file beside the .npz.

        Args:
            frame: result of the frame; all maps have one shape.
        """
        if self._file is None:
            self._file = self._scores_path.open("wb")
            self._first = frame.map
        self._file.write(frame.map.scores.numpy().astype("<f4").tobytes())
        self._times.append(frame.time)
        self._present.append(-1 if frame.map.present is None else int(frame.map.present))

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Pack the scores and other arrays into the .npz, and delete the file of scores; needs at least one frame.

        Args:
            notes: sentences for a reader, not written here.
            end_time: end of the video in seconds, not written here.
        """
        assert self._file is not None, "a video has at least one frame"
        self._file.close()
        shape = (len(self._times), *self._first.scores.shape)
        others = {
            "times": np.array(self._times),
            "present": np.array(self._present),
            "size": np.array(self._first.size),
            "region": np.array(self._first.region),
        }
        with zipfile.ZipFile(self._path, "w") as archive:
            with self._scores_path.open("rb") as scores, archive.open("scores.npy", "w", force_zip64=True) as entry:
                entry.write(make_npy_header(shape, np.dtype("<f4")))
                shutil.copyfileobj(scores, entry)
            for name, values in others.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)
        self._scores_path.unlink()
