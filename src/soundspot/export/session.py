"""An exported model asked from Python, by onnxruntime alone; torch only prepares what it is given."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from soundspot._version import __version__
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.data.media.audio import extract_window
from soundspot.errors import CheckpointError
from soundspot.export.convert import PARTS, check_installed, read_metadata, split_model
from soundspot.export.graph import ENCODINGS, MAP
from soundspot.inference.localizer import EncodedImage, Localizer
from soundspot.inference.result import LocalizationMap
from soundspot.methods.base import Method
from soundspot.types import Audio, AudioVisualDataset, ImageWithFlow

METADATA_FILE = "model.json"
"""What a folder of parts says of itself, the same as each part's metadata; a browser reads it first."""


def without_normalization(spec: ImageSpec) -> ImageSpec:
    """The same without mean and deviation, which are inside the graph: pictures in [0, 1]."""
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def stack_windows(audio: Sequence[Audio], spec: AudioSpec) -> Float[Tensor, "b t"]:
    """The samples that a graph's `sound` takes."""
    return torch.stack([extract_window(sound, spec) for sound in audio])


class OnnxLocalizer:
    """Asks an exported model; callable like a Localizer, and `soundspot.evaluate` scores it in batches likewise.

    Retrieval's vectors and maps that heard nothing are not in the graph, so there are neither.

    Attributes:
        card: what the model says of itself.
        front_end, readout, threshold, title, notes: as a Localizer has them.
    """

    def __init__(self, parts: dict[str, bytes], metadata: dict[str, Any], threads: int = 0) -> None:
        self.metadata, self.title = metadata, f"{metadata['title']} (ONNX, {metadata['weights']})"
        self.front_end: InputSpec = InputSpec.from_dict(metadata["front_end"])
        self.upsampling = Upsampling(**metadata["readout"])
        self.threshold: float | None = metadata["threshold"]
        self.warnings = tuple(metadata["notes"])
        self._sessions = _Sessions(parts, self.front_end, self.upsampling, metadata["method"], threads)
        self._inside = _Prepared(self._sessions)
        self._inside.threshold = self.threshold

    @classmethod
    def load(cls, path: str | Path, threads: int = 0) -> "OnnxLocalizer":
        """The model in a file that `soundspot export` wrote, or in a folder of its parts.

        Args:
            threads: of onnxruntime; 0: one for each core.

        Raises:
            CheckpointError: missing, damaged, or not one of ours. InputError: the extra `export` is not installed.
        """
        check_installed("onnx", "onnxruntime")
        path = Path(path)
        parts, card = _from_folder(path) if path.is_dir() else _from_file(path)
        try:
            return cls(parts, card, threads)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: says of itself less than soundspot {__version__} asks ({error}); export it again"
            ) from error

    @property
    def hears_recordings(self) -> bool:
        return self._inside.takes_waveforms

    def locate(self, image: Any, audio: Any, flow: Any = None, after: Any = None) -> LocalizationMap:
        """Where in a picture a sound comes from, as `Localizer.locate`."""
        return self._inside.locate(image, audio, flow, after)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, after: Any = None) -> EncodedImage:
        """Encode a picture once, to `hear` many sounds with it."""
        return self._inside.encode_image(image, flow, after)

    def predict(self, encoded_image: EncodedImage, audio: Any) -> LocalizationMap:
        """Where in an encoded picture the sound comes from."""
        return self._inside.predict(encoded_image, audio)

    def read_image(self, data: AudioVisualDataset, index: int) -> Image.Image | ImageWithFlow:
        """What the model is shown of a clip."""
        return self._inside.read_image(data, index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio | Float[Tensor, " d"]:
        """What the model hears of a clip."""
        return self._inside.read_audio(data, index)

    def encode_images(self, images: Sequence[Image.Image | ImageWithFlow]) -> Float[Tensor, "b ..."]:
        """The code of each picture."""
        codes = self._inside.encode_images(images)
        assert isinstance(codes, Tensor)
        return codes

    def encode_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b ..."]:
        """The code of each sound."""
        return self._inside.encode_audio(audio)

    def run(self, part: str, *given: Tensor) -> Float[Tensor, "b ..."]:
        """What one part (`picture`, `sound`, `map`) makes of what it takes."""
        return self._sessions.run(part, *given)

    def maps(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Raw maps of picture i with sound i."""
        return self._inside.maps(encoded_images, encoded_audio)


class _Sessions(Method):
    """The three parts in the place of a method."""

    def __init__(
        self, parts: dict[str, bytes], front_end: InputSpec, upsampling: Upsampling, name: str, threads: int
    ) -> None:
        import onnxruntime

        nn.Module.__init__(self)  # it has no encoders to build
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.sessions = {
                part: onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
                for part, content in parts.items()
            }
        except Exception as error:  # onnxruntime's own kinds, which it does not export
            raise CheckpointError(f"onnxruntime cannot read the model ({error}); export it again") from error
        self.front_end = replace(front_end, image=without_normalization(front_end.image))
        self.upsampling, self.name = upsampling, name  # type: ignore[misc]

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b ..."]:
        return self.run("picture", images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b ..."]:
        return self.run("sound", audio.flatten(1))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        return self.run("map", encoded_images, encoded_audio)

    def run(self, part: str, *given: Tensor) -> Float[Tensor, "b ..."]:
        named = zip(PARTS[part][0], given, strict=True)
        found = self.sessions[part].run(None, {name: one.contiguous().numpy() for name, one in named})
        return torch.from_numpy(found[0])


class _Prepared(Localizer):
    """A localizer that leaves normalisation and spectrogram to the graph."""

    def _spectrograms(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.method.front_end.audio
        if spec.embedding_dim:
            return super()._spectrograms(audio)
        return stack_windows([one for one in audio if isinstance(one, Audio)], spec)[:, None, None]


def _from_file(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    import onnx

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a model that `soundspot export` wrote")
    try:
        model = onnx.load(path)
        card = read_metadata(model)
    except Exception as error:  # protobuf's, or JSON's
        raise CheckpointError(f"{path}: cannot be read as ONNX ({error}); copy or export it again") from error
    if card is None or {one.name for one in model.graph.output} != {MAP, *ENCODINGS}:
        raise CheckpointError(
            f"{path}: is an ONNX file, but not one that `soundspot export CHECKPOINT -o model.onnx` wrote; of parts give "
            "their folder"
        )
    return {name: part.SerializeToString() for name, part in split_model(model).items()}, card


def _from_folder(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    try:
        card = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
        return {name: (path / f"{name}.onnx").read_bytes() for name in PARTS}, card
    except (OSError, ValueError) as error:
        names = ", ".join(f"{name}.onnx" for name in PARTS)
        raise CheckpointError(
            f"{path}: cannot be read ({error}); expected {METADATA_FILE}, {names}, as `soundspot export CHECKPOINT -o FOLDER` "
            "wrote them. Export it again"
        ) from error
