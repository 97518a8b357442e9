"""Front ends: how a method's inputs are made of images and audio, as values; `soundspot.data` does what they say.

Every released method was trained and scored with a front end of its own; a checkpoint carries the one it was made for.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from soundspot.utils.safe_read import check_fields

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CENTERED_WINDOWS = ("hann", "hann-zeros", "hann-magnitude")  # segments lie around their times; all others begin there


@dataclass(frozen=True)
class ImageSpec:
    """Image front end: how an RGB image becomes a (3, size, size) tensor.

    Attributes:
        size: side of the network's square input, in pixels.
        resize: `squash` (aspect ratio not kept, PIL bicubic), `squash-bilinear` (the same with PIL bilinear),
            `squash-tensor` (bicubic on the float tensor without antialiasing), `squash-tensor-antialias` (bicubic on
            the float tensor with antialiasing), `crop` (shorter side to `size` with PIL bicubic, center crop),
            `crop-bilinear` (the same with PIL bilinear), or `shortest-edge` (shorter side to `size`, bilinear on the
            uint8 tensor with antialiasing, each side cut to a multiple of 8 pixels; the input is not square then).
        mean, std: mean and standard deviation of each channel, of values in [0, 1]: the input is (value - mean) / std.
        flow: whether two channels of optical flow follow the three of color: displacement to the right and down in
            pixels per frame, rounded, clipped to 0..255, divided by 255 (`soundspot.data.media.optical_flow`), and
            resized like the image.
    """

    size: int = 224
    resize: Literal[
        "squash",
        "squash-bilinear",
        "squash-tensor",
        "squash-tensor-antialias",
        "crop",
        "crop-bilinear",
        "shortest-edge",
    ] = "squash"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    flow: bool = False

    @property
    def num_channels(self) -> int:
        """Number of input channels: 3 of color, and 2 of optical flow where `flow` is set."""
        return 5 if self.flow else 3


@dataclass(frozen=True)
class AudioSpec:
    """Audio front end: how a waveform becomes a (1, f, t) spectrogram.

    Attributes:
        rate: sample rate of the spectrogram's input in Hz; None keeps the rate of each file, as several releases do.
        seconds: duration of the network's input window in seconds.
        clip_seconds: duration in seconds to which the audio is cut, from its beginning, or repeated before the window
            is taken; None: the audio is used as it is.
        window: where in that audio the window lies: `center`, `first`, or `rolled` (the first, rotated so that the
            middle of the audio lies in its middle).
        n_fft, hop: length of a segment and step between segments, in samples.
        window_function: `tukey` with constant detrend and one-sided power density (scipy.signal.spectrogram's
            defaults); `hann`, power of centered segments with reflection (librosa's and torchaudio's defaults);
            `kaldi`, power of segments less their mean, pre-emphasized by 0.97, under a symmetric Hann window,
            zero-padded to a power of two; `magnitude`, root of the power of raw segments under a periodic Hann window,
            zero-padded to a power of two (VGGish); `hann-zeros`, `hann` power with zeros in place of reflection
            (librosa's melspectrogram since 0.9); `hann-magnitude`, the root of that (librosa's stft); or `waveform`, no
            spectrogram: two rows, the samples and whether each is a sample of the sound (1) or padding (0).
        normalized: whether `hann` power is divided by the window's energy (torchaudio's `normalized=True`).
        n_mels: number of mel bands; 0: linear frequency.
        scaling: `log/12` = log(x + 1e-7) / 12, `db` = 10 log10(max(x, 1e-10)), `log` = log(max(x, 1.19e-7)), `log+0.01`
            = log(x + 0.01), `log+eps` = log(x + 2.2e-16), `log10-8` = log10(max(x, 1e-10)) clamped to at most 8 below
            the maximum of the spectrogram, or `log10+1` = log10(1 + 10000 x).
        num_frames: number of frames taken from the middle; 0: all. Where there are fewer, `kaldi` spectrograms are
            padded with zeros after scaling, as AST's feature extractor does; others raise an error.
        mel_scale: `htk`, triangles of height 1 (torchaudio's default, on which the releases with mel bands rely);
            `htk-sum`, each of these divided by its sum over the bins;
            `slaney`, triangles of equal area (librosa's); `kaldi`, triangles on the mel axis itself.
        f_min, f_max: lower edge of the lowest and upper edge of the highest mel band, in Hz; None for `f_max`: half the
            rate.
        padded_seconds: duration in seconds to which the window is padded with silence at its end; 0: no padding.
        min_max_normalize: whether the waveform is first scaled to about [-1, 1] by its minimum and maximum (SSPL).
        peak_normalize: whether the waveform is first divided by its largest absolute value (CoarseToFine).
        fill: how a sound shorter than the window fills it: `repeat`, end to end; `silence` behind it; or `none`, the
            same silence, of which the network gets as little as a batch allows. The last two need `waveform`.
        standardize: whether a `waveform` is brought to mean 0 and variance 1, silence behind it included, as
            Wav2Vec2's feature extractor does.
        shift, scale: offset and divisor of the scaled spectrogram x, which becomes (x - shift) / scale.
        embedding_dim: length of the vector that another network computed from the audio and that replaces the
            spectrogram, as (1, embedding_dim, 1); 0: none.
    """

    rate: int | None = 16000
    seconds: float = 3.0
    clip_seconds: float | None = None
    window: Literal["center", "first", "rolled"] = "center"
    n_fft: int = 512
    hop: int = 159
    window_function: Literal["tukey", "hann", "kaldi", "magnitude", "hann-zeros", "hann-magnitude", "waveform"] = (
        "tukey"
    )
    normalized: bool = False
    n_mels: int = 0
    scaling: Literal["log/12", "db", "log", "log+0.01", "log+eps", "log10-8", "log10+1"] = "log/12"
    num_frames: int = 0
    mel_scale: Literal["htk", "htk-sum", "slaney", "kaldi"] = "htk"
    f_min: float = 0.0
    f_max: float | None = None
    padded_seconds: float = 0.0
    min_max_normalize: bool = False
    peak_normalize: bool = False
    fill: Literal["repeat", "silence", "none"] = "repeat"
    standardize: bool = False
    shift: float = 0.0
    scale: float = 1.0
    embedding_dim: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (f, t) of the spectrogram, (2, samples) of a `waveform`, or (embedding_dim, 1).

        16 kHz is assumed where `rate` is None.
        """
        if self.embedding_dim:
            return self.embedding_dim, 1
        samples = round(max(self.seconds, self.padded_seconds) * (self.rate or 16000))
        if self.window_function == "waveform":
            return 2, samples
        frames = 1 + (samples if self.window_function in CENTERED_WINDOWS else samples - self.n_fft) // self.hop
        return self.n_mels or self.n_fft // 2 + 1, self.num_frames or frames


OF_WAVEFORMS = ("fill", "standardize")  # attributes that spectrograms do not have, and those that only they have
OF_SPECTROGRAMS = ("padded_seconds", "min_max_normalize", "peak_normalize", "shift", "scale")
LIMITS = {  # of attributes that decide how much memory an input takes
    "size": (1, 4096),
    "rate": (1_000, 1_000_000),
    "seconds": (0.001, 3600),
    "clip_seconds": (0.001, 3600),
    "padded_seconds": (0, 3600),
    "n_fft": (2, 65_536),
    "hop": (1, 1_000_000),
    "n_mels": (0, 4096),
    "num_frames": (0, 1_000_000),
    "embedding_dim": (0, 65_536),
}


@dataclass(frozen=True)
class InputSpec:
    """Both front ends of a method.

    Attributes:
        image: image front end.
        audio: audio front end.
    """

    image: ImageSpec = field(default_factory=ImageSpec)
    audio: AudioSpec = field(default_factory=AudioSpec)

    @property
    def has_fixed_shape(self) -> bool:
        """True where the inputs of all images have one shape, and those of all sounds."""
        return self.audio.fill != "none" and self.image.resize != "shortest-edge"

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]]) -> "InputSpec":
        """Build a front end from plain values.

        Args:
            values: {"image": {...}, "audio": {...}}, the attributes of `ImageSpec` and `AudioSpec` by name, as
                `dataclasses.asdict` returns them. Lists, as JSON and YAML have them, become tuples; an attribute left
                out has its default.

        Returns:
            The front end.

        Raises:
            ValueError: an attribute has a value of another type, is outside of its `LIMITS`, or would not be used with
                this `window_function`.
        """
        image: dict[str, Any]
        audio: dict[str, Any]
        image, audio = (
            {name: tuple(value) if isinstance(value, list) else value for name, value in values[key].items()}
            for key in ("image", "audio")
        )
        front_end = cls(ImageSpec(**image), AudioSpec(**audio))
        for spec in (front_end.image, front_end.audio):
            check_fields(spec)
            for name, (low, high) in LIMITS.items():
                if not low <= (getattr(spec, name, None) or low) <= high:
                    raise ValueError(f"found {name} {getattr(spec, name)}, expected {low} to {high}")
        kind, defaults = front_end.audio.window_function, AudioSpec()
        for name in OF_SPECTROGRAMS if kind == "waveform" else OF_WAVEFORMS:
            if (value := getattr(front_end.audio, name)) != (default := getattr(defaults, name)):
                raise ValueError(f"found {name} {value} of window_function {kind}, which has none, expected {default}")
        return front_end


def _read_presets() -> dict[str, dict[str, InputSpec]]:
    path = Path(__file__).with_name("front_ends.yaml")
    text = path.read_text(encoding="utf-8")
    groups = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # eight times as fast, at each start
    return {group: {name: InputSpec.from_dict(spec) for name, spec in specs.items()} for group, specs in groups.items()}


_GROUPS = _read_presets()
PRESETS: dict[str, InputSpec] = _GROUPS["methods"] | _GROUPS["encoders"]
"""Front end of each released method by its name; `name@repository` where another repository feeds it differently.

`clip`, `ast`, `clap`, `whisper`, `vggish`, `efficientnet_lite0` and `aisfx` are those of public encoders; a recipe's
`clip+ast` takes the image front end of one preset and the audio front end of another. How stereo becomes mono is not
part of a preset: SSLalignment keeps the left channel, the EZ-VSL family takes the mean (`channels` of
`soundspot.data.media.audio.read_audio`).
"""

ENCODER_PRESETS = tuple(_GROUPS["encoders"])
"""Names in `PRESETS` of public encoders; all others are methods'."""
