"""Exported models run from Python by onnxruntime; torch only prepares their inputs."""

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
from soundspot.export.convert import SUBGRAPHS, check_installed, read_metadata, split_model
from soundspot.export.graph import ENCODINGS, MAP
from soundspot.inference.localizer import EncodedImage, Localizer
from soundspot.inference.result import LocalizationMap
from soundspot.methods.base import Method
from soundspot.types import Audio, AudioVisualDataset, ImageWithFlow

METADATA_FILE = "model.json"
"""Metadata of a folder of subgraphs, the same as that inside each; a browser reads it first."""


def without_normalization(spec: ImageSpec) -> ImageSpec:
    """Return image preprocessing without mean and standard deviation, which are inside the graph.

    Args:
        spec: of the method.

    Returns:
        Preprocessing to images in [0, 1].
    """
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def stack_windows(audio: Sequence[Audio], spec: AudioSpec) -> Float[Tensor, "b t"]:
    """Return the input `audio` of a graph.

    Args:
        audio: b waveforms.
        spec: preprocessing of the method.

    Returns:
        (b, t) samples of each window.
    """
    return torch.stack([extract_window(waveform, spec) for waveform in audio])


class OnnxLocalizer:
    """Localizer of an exported model; `soundspot.evaluate` scores it in batches too.

    Embeddings for retrieval and saliency are not in the graph, so there are neither.

    Args:
        models: name of `SUBGRAPHS` -> serialized ONNX model.
        metadata: as `build_metadata` makes it.
        threads: of onnxruntime; 0: one for each core.

    Attributes:
        metadata: versions, names, front end, upsampling, threshold and notes.
        front_end, upsampling, threshold, title, notes: those of a Localizer.
    """

    def __init__(self, models: dict[str, bytes], metadata: dict[str, Any], threads: int = 0) -> None:
        self.metadata, self.title = metadata, f"{metadata['title']} (ONNX, {metadata['weights']})"
        self.front_end: InputSpec = InputSpec.from_dict(metadata["front_end"])
        self.upsampling = Upsampling(**metadata["upsampling"])
        self.threshold: float | None = metadata["threshold"]
        self.notes = tuple(metadata["notes"])
        self._sessions = _Sessions(models, self.front_end, self.upsampling, metadata["method"], threads)
        self._localizer = _PreparedLocalizer(self._sessions, self.threshold)

    @classmethod
    def load(cls, path: str | Path, threads: int = 0) -> "OnnxLocalizer":
        """Load a model from the file that `soundspot export` wrote, or from a folder of its subgraphs.

        Args:
            path: of the file or folder.
            threads: of onnxruntime; 0: one for each core.

        Returns:
            The localizer.

        Raises:
            CheckpointError: missing, damaged, or not written by soundspot.
            InputError: the extra `export` is not installed.
        """
        check_installed("onnx", "onnxruntime")
        path = Path(path)
        models, metadata = _read_folder(path) if path.is_dir() else _read_file(path)
        try:
            return cls(models, metadata, threads)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: its metadata lack what soundspot {__version__} requires ({error}); export it again"
            ) from error

    @property
    def takes_waveforms(self) -> bool:
        """True where the audio input is a waveform, False where it is an embedding by another network."""
        return self._localizer.takes_waveforms

    def locate(self, image: Any, audio: Any, flow: Any = None, next_frame: Any = None) -> LocalizationMap:
        """Locate the source of a sound in an image, as `Localizer.locate`.

        Args:
            image, audio, flow, next_frame: as for `Localizer.locate`.

        Returns:
            The map of the sound in the image.
        """
        return self._localizer.locate(image, audio, flow, next_frame)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, next_frame: Any = None) -> EncodedImage:
        """Encode an image once, to `predict` the maps of many sounds in it, as `Localizer.encode_image`.

        Args:
            image, flow, next_frame: as for `Localizer.encode_image`.

        Returns:
            The encoded image.
        """
        return self._localizer.encode_image(image, flow, next_frame)

    def predict(self, encoded_image: EncodedImage, audio: Any) -> LocalizationMap:
        """Locate the source of a sound in an image that is encoded already, as `Localizer.predict`.

        Args:
            encoded_image: from `encode_image`.
            audio: as for `Localizer.predict`.

        Returns:
            The map of the sound in the image.
        """
        return self._localizer.predict(encoded_image, audio)

    def read_image(self, data: AudioVisualDataset, index: int) -> Image.Image | ImageWithFlow:
        """Read the image of a sample as the model takes it.

        Args:
            data: a data set.
            index: of the sample.

        Returns:
            The image, with its optical flow where the model uses it.
        """
        return self._localizer.read_image(data, index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio | Float[Tensor, " d"]:
        """Read the audio of a sample as the model takes it.

        Args:
            data: a data set.
            index: of the sample.

        Returns:
            The waveform, or the embedding in its place.
        """
        return self._localizer.read_audio(data, index)

    def encode_images(self, images: Sequence[Image.Image | ImageWithFlow]) -> Float[Tensor, "b ..."]:
        """Encode b images.

        Args:
            images: b images, with optical flow where the model uses it.

        Returns:
            (b, ...) encoded images.
        """
        encoded = self._localizer.encode_images(images)
        assert isinstance(encoded, Tensor)
        return encoded

    def encode_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b ..."]:
        """Encode b audio clips.

        Args:
            audio: b waveforms, or embeddings in their place.

        Returns:
            (b, ...) encoded audio.
        """
        return self._localizer.encode_audio(audio)

    def maps(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Compute the raw map of each image with its own audio.

        Args:
            encoded_images: from `encode_images`.
            encoded_audio: from `encode_audio`.

        Returns:
            (b, h, w) raw maps.
        """
        return self._localizer.maps(encoded_images, encoded_audio)

    def run(self, name: str, *inputs: Tensor) -> Float[Tensor, "b ..."]:
        """Run one subgraph.

        Args:
            name: `image`, `audio` or `map`.
            inputs: in the order of `SUBGRAPHS`.

        Returns:
            Its output.
        """
        return self._sessions.run(name, *inputs)


class _Sessions(Method):
    """Method that runs the three subgraphs in place of networks."""

    def __init__(
        self, models: dict[str, bytes], front_end: InputSpec, upsampling: Upsampling, name: str, threads: int
    ) -> None:
        import onnxruntime

        nn.Module.__init__(self)  # it has no encoders to build
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.sessions = {
                subgraph: onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
                for subgraph, content in models.items()
            }
        except Exception as error:  # onnxruntime's own kinds, which it does not export
            raise CheckpointError(f"onnxruntime cannot read the model ({error}); export it again") from error
        self.front_end = replace(front_end, image=without_normalization(front_end.image))
        self.upsampling, self.name = upsampling, name  # type: ignore[misc]

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b ..."]:
        return self.run("image", images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b ..."]:
        return self.run("audio", audio.flatten(1))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        return self.run("map", encoded_images, encoded_audio)

    def run(self, name: str, *inputs: Tensor) -> Float[Tensor, "b ..."]:
        """Run one subgraph."""
        named = zip(SUBGRAPHS[name][0], inputs, strict=True)
        outputs = self.sessions[name].run(None, {key: x.contiguous().numpy() for key, x in named})
        return torch.from_numpy(outputs[0])


class _PreparedLocalizer(Localizer):
    """Localizer that leaves normalization and spectrogram to the graph."""

    def _spectrograms(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.method.front_end.audio
        if spec.embedding_dim:
            return super()._spectrograms(audio)
        return stack_windows([x for x in audio if isinstance(x, Audio)], spec)[:, None, None]


def _read_file(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    import onnx

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a model that `soundspot export` wrote")
    try:
        model = onnx.load(path)
        metadata = read_metadata(model)
    except Exception as error:  # protobuf's, or JSON's
        raise CheckpointError(f"{path}: cannot be read as ONNX ({error}); copy or export it again") from error
    if metadata is None or {output.name for output in model.graph.output} != {MAP, *ENCODINGS}:
        raise CheckpointError(
            f"{path}: is an ONNX file, but not one that `soundspot export --model CHECKPOINT -o model.onnx` wrote; of "
            "subgraphs give their folder"
        )
    return {name: subgraph.SerializeToString() for name, subgraph in split_model(model).items()}, metadata


def _read_folder(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    try:
        metadata = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
        return {name: (path / f"{name}.onnx").read_bytes() for name in SUBGRAPHS}, metadata
    except (OSError, ValueError) as error:
        names = ", ".join(f"{name}.onnx" for name in SUBGRAPHS)
        raise CheckpointError(
            f"{path}: cannot be read ({error}); expected {METADATA_FILE}, {names}, as `soundspot export --model "
            "CHECKPOINT -o FOLDER` wrote them. Export it again"
        ) from error
