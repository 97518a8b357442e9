"""Exported models run from Python by onnxruntime; torch only prepares their inputs."""

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
from soundspot.data.media.audio import as_audio, extract_window
from soundspot.errors import CheckpointError
from soundspot.export.convert import SUBGRAPHS, check_installed, read_metadata, split_model
from soundspot.export.graph import ENCODINGS, MAP
from soundspot.inference.localizer import EncodedImage, Localizer
from soundspot.inference.result import LocalizationMap
from soundspot.methods.base import Method
from soundspot.types import Audio, AudioVisualDataset, ImageWithFlow
from soundspot.utils.safe_read import check_fields, convert_read_errors, has_type, read_json_object

_EXPECTED = (
    "expected what `soundspot export --model CHECKPOINT -o model.onnx` wrote, or a folder of subgraphs with its "
    "model.json. Copy or export it again"
)
_METADATA_TYPES = {"title": str, "method": str, "weights": str, "threshold": float | None, "notes": list}
METADATA_FILE = "model.json"
"""Metadata of a folder of subgraphs, the same as that inside each; a browser reads it first."""


def without_normalization(spec: ImageSpec) -> ImageSpec:
    """Return image preprocessing without mean and standard deviation, which are inside the graph.

    Args:
        spec: image preprocessing of the method.

    Returns:
        Copy of `spec` with mean 0 and standard deviation 1, which gives images in [0, 1].
    """
    return replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def stack_windows(audio: Sequence[Audio], spec: AudioSpec) -> Float[Tensor, "b t"]:
    """Resample waveforms, take the model's window of each and stack them, as the input `audio` of a graph.

    Args:
        audio: b mono waveforms of any lengths and rates.
        spec: audio preprocessing of the method.

    Returns:
        (b, t) windows of `spec.seconds` at `spec.rate`; longer audio is cropped, shorter audio is repeated to that
        length.
    """
    return torch.stack([extract_window(waveform, spec) for waveform in audio])


class OnnxLocalizer:
    """Localizer of an exported model; `soundspot.evaluate` scores it in batches too.

    Embeddings for retrieval and saliency are not in the graph, so there are neither.

    Args:
        models: `image`, `audio` and `map` -> serialized ONNX model.
        metadata: dict of metadata that `build_metadata` returned.
        threads: number of threads of onnxruntime; 0: one for each core.

    Attributes:
        metadata: dict of version, names, front end, upsampling, threshold and notes.
        front_end: preprocessing of images and audio.
        upsampling: interpolation of maps to the size of the image.
        threshold: fitted threshold of masks; None: none was fitted.
        title: name of the model for a reader.
        notes: sentences for a reader of the results.

    Raises:
        CheckpointError: onnxruntime cannot read the model.
        KeyError, TypeError, ValueError: the metadata lack a field, or have an unknown field or value.
    """

    def __init__(self, models: dict[str, bytes], metadata: dict[str, Any], threads: int = 0) -> None:
        for name, type_ in _METADATA_TYPES.items():
            if not has_type(metadata[name], type_):
                raise ValueError(f"found {metadata[name]!r:.60} for {name}, expected {type_}")
        self.metadata, self.title = metadata, f"{metadata['title']} (ONNX, {metadata['weights']})"
        self.front_end: InputSpec = InputSpec.from_dict(metadata["front_end"])
        self.upsampling = Upsampling(**metadata["upsampling"])
        check_fields(self.upsampling)
        self.threshold: float | None = metadata["threshold"]
        self.notes = tuple(metadata["notes"])
        self._sessions = _Sessions(models, self.front_end, self.upsampling, metadata["method"], threads)
        self._localizer = _PreparedLocalizer(self._sessions, self.threshold)

    @classmethod
    def load(cls, path: str | Path, threads: int = 0) -> "OnnxLocalizer":
        """Load a model from the file that `soundspot export` wrote, or from a folder of its subgraphs.

        Args:
            path: path of the .onnx file, or of the folder with image.onnx, audio.onnx, map.onnx and model.json.
            threads: number of threads of onnxruntime; 0: one for each core.

        Returns:
            Localizer on the CPU.

        Raises:
            CheckpointError: the model is missing, damaged, or not written by soundspot.
            InputError: the extra `export` is not installed.
        """
        check_installed("onnx", "onnxruntime")
        path = Path(path)
        with convert_read_errors(path, _EXPECTED, CheckpointError):
            models, metadata = _read_folder(path) if path.is_dir() else _read_file(path)
        expected = f"expected metadata of soundspot {__version__}. Export it again"
        with convert_read_errors(path, expected, CheckpointError):
            return cls(models, metadata, threads)

    @property
    def takes_waveforms(self) -> bool:
        """True where the audio input is a waveform, False where it is an embedding by another network."""
        return self._localizer.takes_waveforms

    def locate(self, image: Any, audio: Any, flow: Any = None, next_frame: Any = None) -> LocalizationMap:
        """Locate the source of a sound in an image.

        Args:
            image: path, PIL image, (h, w, 3) array or (3, h, w) tensor, of uint8 or floats in [0, 1].
            audio: path, `Audio`, or pair of waveform (floats in [-1, 1] or integers) and sample rate in Hz; where the
                model takes embeddings, an embedding (d,).
            flow: (2, h, w) optical flow to the right and down in pixels per frame, for models that use it.
            next_frame: next frame, from which the flow is computed if `flow` is None (extra `flow`). With neither, flow
                is 0. Models without optical flow ignore both.

        Returns:
            Localization map of the sound in the image, with the raw scores (h, w).

        Raises:
            InputError: an input has another form or cannot be read.
        """
        return self._localizer.locate(image, audio, flow, next_frame)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, next_frame: Any = None) -> EncodedImage:
        """Encode an image once, to `predict` the maps of many sounds in it.

        Args:
            image: path, PIL image, (h, w, 3) array or (3, h, w) tensor, of uint8 or floats in [0, 1].
            flow: (2, h, w) optical flow to the right and down in pixels per frame, for models that use it.
            next_frame: next frame, from which the flow is computed if `flow` is None (extra `flow`). With neither, flow
                is 0. Models without optical flow ignore both.

        Returns:
            Encoded image: its (1, ...) features and the image itself.

        Raises:
            InputError: the image or its flow has another form or cannot be read.
        """
        return self._localizer.encode_image(image, flow, next_frame)

    def predict(self, encoded_image: EncodedImage, audio: Any) -> LocalizationMap:
        """Locate the source of a sound in an image that is encoded already.

        Args:
            encoded_image: output of `encode_image`.
            audio: path, `Audio`, or pair of waveform (floats in [-1, 1] or integers) and sample rate in Hz; where the
                model takes embeddings, an embedding (d,).

        Returns:
            Localization map of the sound in the image, with the raw scores (h, w).

        Raises:
            InputError: an input has another form or cannot be read.
        """
        return self._localizer.predict(encoded_image, audio)

    def read_image(self, data: AudioVisualDataset, index: int) -> Image.Image | ImageWithFlow:
        """Read the image of a sample, and its optical flow if the model uses it.

        Args:
            data: data set of images and audio.
            index: position of the sample in the data set.

        Returns:
            RGB image of the sample at its own size, not preprocessed; for models with optical flow an `ImageWithFlow`,
            whose flow the data set provides.
        """
        return self._localizer.read_image(data, index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio | Float[Tensor, " d"]:
        """Read the waveform of a sample, or its audio embedding if the model takes embeddings.

        Args:
            data: data set of images and audio.
            index: position of the sample in the data set.

        Returns:
            Waveform as the data set returns it, neither resampled nor cropped; for models with `embedding_dim` above 0
            the (d,) embedding.
        """
        return self._localizer.read_audio(data, index)

    def encode_images(self, images: Sequence[Image.Image | ImageWithFlow]) -> Float[Tensor, "b ..."]:
        """Preprocess and encode b images.

        Args:
            images: b images of any sizes, with optical flow where the model uses it.

        Returns:
            (b, ...) output of the subgraph `image`, on the CPU.
        """
        encoded = self._localizer.encode_images(images)
        assert isinstance(encoded, Tensor)
        return encoded

    def encode_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b ..."]:
        """Preprocess and encode b audio clips.

        Args:
            audio: b waveforms of any lengths and rates; for models that take embeddings, b embeddings (d,).

        Returns:
            (b, ...) output of the subgraph `audio`, on the CPU.
        """
        return self._localizer.encode_audio(audio)

    def maps(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Compute the raw map of each image with its own audio.

        Args:
            encoded_images: (b, ...) output of `encode_images`.
            encoded_audio: (b, ...) output of `encode_audio`; row i belongs to image i.

        Returns:
            (b, h, w) float32 raw maps at the resolution of the image features, on the CPU.
        """
        return self._localizer.maps(encoded_images, encoded_audio)

    def run(self, name: str, *inputs: Tensor) -> Float[Tensor, "b ..."]:
        """Run a subgraph by onnxruntime.

        Args:
            name: name of the subgraph: `image`, `audio` or `map`.
            inputs: CPU tensors: (b, i, s, s) images in [0, 1], (b, t) audio, or encoded images and encoded audio.

        Returns:
            Output of the subgraph, (b, ...) on the CPU.
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
        """Run one subgraph; CheckpointError where it cannot be run, or does not return floats of b inputs."""
        named = {key: x.contiguous().numpy() for key, x in zip(SUBGRAPHS[name][0], inputs, strict=True)}
        with convert_read_errors(f"subgraph {name} of the exported model", "export it again", CheckpointError):
            output = torch.from_numpy(self.sessions[name].run(None, named)[0])
            if not output.is_floating_point() or output.shape[:1] != inputs[0].shape[:1] or output.numel() == 0:
                raise ValueError(f"its output is {output.dtype} of shape {tuple(output.shape)}")
            if name == "map" and output.ndim != 3:
                raise ValueError(f"its map has shape {tuple(output.shape)}")
            return output


class _PreparedLocalizer(Localizer):
    """Localizer that leaves normalization and spectrogram to the graph."""

    def _spectrograms(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.method.front_end.audio
        if spec.embedding_dim:
            return super()._spectrograms(audio)
        return stack_windows([as_audio(item) for item in audio], spec)[:, None, None]


def _read_file(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    import onnx

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a model that `soundspot export` wrote")
    model = onnx.load(path, load_external_data=False)
    _check_self_contained(model)
    metadata = read_metadata(model)
    if metadata is None or {output.name for output in model.graph.output} != {MAP, *ENCODINGS}:
        raise CheckpointError(
            f"{path}: is an ONNX file, but not one that `soundspot export --model CHECKPOINT -o model.onnx` wrote; of "
            "subgraphs give their folder"
        )
    return {name: subgraph.SerializeToString() for name, subgraph in split_model(model).items()}, metadata


def _read_folder(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    import onnx

    models = {name: (path / f"{name}.onnx").read_bytes() for name in SUBGRAPHS}
    for content in models.values():
        _check_self_contained(onnx.load_from_string(content))
    return models, read_json_object(path / METADATA_FILE, "export it again", CheckpointError)


def _check_self_contained(message: Any) -> None:
    """Raise ValueError where a tensor of a model, at any depth, lies in another file, which could be any."""
    for field, value in message.ListFields():
        if field.name == "data_location" and value == 1:
            raise ValueError("a tensor of it lies in another file, which is not opened")
        if field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _check_self_contained(child)
