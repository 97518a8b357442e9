"""Front ends: how a method's inputs are made of images and audio, as values; `soundspot.data` does what they say.

Every released method was trained and scored with a front end of its own; a checkpoint carries the one it was made for.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CENTERED_WINDOWS = ("hann", "hann-magnitude")  # segments lie around their times; all others begin there


@dataclass(frozen=True)
class ImageSpec:
    """Image front end: how an RGB image becomes a (3, size, size) tensor.

    Attributes:
        size: side of the network's square input, in pixels.
        resize: `squash` (aspect ratio not kept, PIL bicubic), `squash-tensor` (bicubic on the float tensor without
            antialiasing), `squash-tensor-antialias`, or `crop` (shorter side to `size` with PIL bicubic, center crop).
        mean, std: per channel, of values in [0, 1]: the input is (value - mean) / std.
        flow: whether the optical flow follows as two more channels, divided by 255
            (`soundspot.data.media.optical_flow`) and resized like the image.
    """

    size: int = 224
    resize: Literal["squash", "squash-tensor", "squash-tensor-antialias", "crop"] = "squash"
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
        rate: sampling rate of the spectrogram's input in Hz; None keeps the rate of each file, as several releases do.
        seconds: length of the network's window.
        clip_seconds: length to which the file is cut or tiled before the window is taken; None: not at all.
        window: where in that the window lies: `center`, `first`, or `rolled` (the first, rotated so that the middle of
            the file lies in its middle).
        n_fft, hop: length of a segment and step between segments, in samples.
        window_function: `tukey` with constant detrend and one-sided power density (scipy.signal.spectrogram's
            defaults); `hann`, power of centered segments with reflection (librosa's and torchaudio's defaults);
            `kaldi`, power of segments less their mean, pre-emphasized by 0.97, under a symmetric Hann window,
            zero-padded to a power of two; `magnitude`, root of the power of raw segments under a periodic Hann window,
            zero-padded likewise (VGGish); or `hann-magnitude`, root of `hann` power with zeros in place of reflection
            (librosa's stft).
        normalized: whether `hann` power is divided by the window's energy (torchaudio's `normalized=True`).
        n_mels: number of mel bands; 0: linear frequency.
        scaling: `log/12` = log(x + 1e-7) / 12, `db` = 10 log10(max(x, 1e-10)), `log` = log(max(x, 1.19e-7)),
            `log+0.01` = log(x + 0.01), `log+eps` = log(x + 2.2e-16), or `log10-8` = log10(max(x, 1e-10)) clamped to at
            most 8 below the maximum of the spectrogram.
        num_frames: number of frames taken from the middle; 0: all. Where there are fewer, `kaldi` spectrograms are
            padded with zeros after scaling, as AST's feature extractor does; others raise an error.
        mel_scale: `htk`, triangles of height 1 (torchaudio's default, on which the releases with mel bands rely);
            `slaney`, triangles of equal area (librosa's); `kaldi`, triangles on the mel axis itself.
        f_min, f_max: edges of the lowest and the highest band in Hz; None: half the rate.
        padded_seconds: length to which the window is padded with silence.
        min_max_normalize: whether the waveform is first scaled to about [-1, 1] by its minimum and maximum (SSPL).
        peak_normalize: whether the waveform is first divided by its largest absolute value (CoarseToFine).
        shift, scale: the scaled spectrogram becomes (x - shift) / scale.
        embedding_dim: length of the vector that another network computed from the audio and that replaces the
            spectrogram, as (1, embedding_dim, 1); 0: none.
    """

    rate: int | None = 16000
    seconds: float = 3.0
    clip_seconds: float | None = None
    window: Literal["center", "first", "rolled"] = "center"
    n_fft: int = 512
    hop: int = 159
    window_function: Literal["tukey", "hann", "kaldi", "magnitude", "hann-magnitude"] = "tukey"
    normalized: bool = False
    n_mels: int = 0
    scaling: Literal["log/12", "db", "log", "log+0.01", "log+eps", "log10-8"] = "log/12"
    num_frames: int = 0
    mel_scale: Literal["htk", "slaney", "kaldi"] = "htk"
    f_min: float = 0.0
    f_max: float | None = None
    padded_seconds: float = 0.0
    min_max_normalize: bool = False
    peak_normalize: bool = False
    shift: float = 0.0
    scale: float = 1.0
    embedding_dim: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (f, t) of the spectrogram; 16 kHz is assumed where `rate` is None."""
        if self.embedding_dim:
            return self.embedding_dim, 1
        samples = round(max(self.seconds, self.padded_seconds) * (self.rate or 16000))
        frames = 1 + (samples if self.window_function in CENTERED_WINDOWS else samples - self.n_fft) // self.hop
        return self.n_mels or self.n_fft // 2 + 1, self.num_frames or frames


@dataclass(frozen=True)
class InputSpec:
    """Both front ends of a method.

    Attributes:
        image: of the images.
        audio: of the audio.
    """

    image: ImageSpec = field(default_factory=ImageSpec)
    audio: AudioSpec = field(default_factory=AudioSpec)


# The releases take each file's own rate and their tensor sizes are those of 16 kHz, so every preset resamples to that.
# Left unsaid by a preset: ImageNet's mean and std, 224 pixels, segments of 512, log(x + 1e-7) / 12.
_SQUASH_TENSOR = ImageSpec(resize="squash-tensor")  # SSLalignment resizes the tensor; antialiasing is not pinned there
_ALIGNMENT_AUDIO = AudioSpec(clip_seconds=10.0, seconds=3.0, hop=159)  # 3.5 s to 6.5 s of ten tiled seconds: 257 x 299
_EZVSL_AUDIO = AudioSpec(seconds=3.0, hop=238)  # the middle 3 s of the file, tiled if short: 257 x 200
_ROLLED_AUDIO = AudioSpec(seconds=10.0, hop=238, window="rolled", num_frames=200)
_SSLTIE_AUDIO = AudioSpec(  # 257 x 670 mel bands in dB
    seconds=10.0, window="first", hop=239, window_function="hann", normalized=True, n_mels=257, scaling="db"
)
_AST_AUDIO = AudioSpec(  # 128 x 1024: the 998 frames of ten seconds, and zeros
    seconds=10.0,
    n_fft=400,
    hop=160,
    window_function="kaldi",
    n_mels=128,
    mel_scale="kaldi",
    f_min=20.0,
    f_max=8000.0,
    scaling="log",
    num_frames=1024,
    shift=-4.2677393,
    scale=2 * 4.5689974,
)
_CLAP_AUDIO = AudioSpec(  # 64 x 1001, of laion/clap-htsat-unfused
    rate=48000,
    seconds=10.0,
    n_fft=1024,
    hop=480,
    window_function="hann",
    n_mels=64,
    mel_scale="slaney",
    f_min=50.0,
    f_max=14000.0,
    scaling="db",
)
_WHISPER_AUDIO = AudioSpec(  # 80 x 3000: ten seconds and twenty of silence
    seconds=10.0,
    padded_seconds=30.0,
    n_fft=400,
    hop=160,
    window_function="hann",
    n_mels=80,
    mel_scale="slaney",
    f_max=8000.0,
    scaling="log10-8",
    num_frames=3000,
    shift=-4.0,
    scale=4.0,
)
_VGGISH_AUDIO = AudioSpec(  # 64 x 298: three patches of 96 frames, and ten left over
    seconds=3.0,
    n_fft=400,
    hop=160,
    window_function="magnitude",
    n_mels=64,
    mel_scale="kaldi",
    f_min=125.0,
    f_max=7500.0,
    scaling="log+0.01",
)
_COARSETOFINE_AUDIO = AudioSpec(  # 64 x 251
    rate=22050,
    seconds=5.0,
    n_fft=882,
    hop=441,
    window_function="hann",
    n_mels=64,
    mel_scale="slaney",
    scaling="log+eps",
    peak_normalize=True,
)
_SSPL_AUDIO = replace(_VGGISH_AUDIO, min_max_normalize=True)
_DMC_AUDIO = AudioSpec(  # 64 x 201 mel bands in dB, nothing of a sound more than 80 dB below its largest
    seconds=1.0,
    n_fft=160,
    hop=80,
    window_function="hann-magnitude",
    n_mels=64,
    mel_scale="slaney",
    scaling="log10-8",
    scale=0.1,
)

PRESETS: dict[str, InputSpec] = {
    # SSLalignment, datasets_lvs.py, "for the tables"; LVS is fed the same there.
    "alignment": InputSpec(_SQUASH_TENSOR, _ALIGNMENT_AUDIO),
    "lvs@sslalignment": InputSpec(_SQUASH_TENSOR, _ALIGNMENT_AUDIO),
    # The same on AVSBench S4 and MS3, whose clips last 5 s: 1 s to 4 s.
    "alignment@avsbench": InputSpec(_SQUASH_TENSOR, AudioSpec(clip_seconds=5.0, seconds=3.0, hop=159)),
    # LVS, own repository: shorter side and center crop; the first 10 s, tiled: 257 x 671.
    "lvs": InputSpec(ImageSpec(resize="crop"), AudioSpec(seconds=10.0, window="first", hop=238)),
    # EZ-VSL, SLAVC (its 5 s argument is ignored) and FNAC, own repositories.
    "ezvsl": InputSpec(ImageSpec(), _EZVSL_AUDIO),
    "slavc": InputSpec(ImageSpec(), _EZVSL_AUDIO),
    "fnac": InputSpec(ImageSpec(), _EZVSL_AUDIO),
    # Without released code, and so ours: those of the methods that they build on.
    "marginnce": InputSpec(ImageSpec(), _EZVSL_AUDIO),
    "hardpos": InputSpec(ImageSpec(resize="crop"), AudioSpec(seconds=10.0, window="first", hop=238)),
    "lcbm": InputSpec(ImageSpec(resize="crop"), AudioSpec(seconds=10.0, window="first", hop=238)),
    # The first two as SSLalignment feeds them: ten seconds rolled, the 200 frames in the middle of 671.
    "ezvsl@sslalignment": InputSpec(_SQUASH_TENSOR, _ROLLED_AUDIO),
    "slavc@sslalignment": InputSpec(_SQUASH_TENSOR, _ROLLED_AUDIO),
    # SSL-TIE, own repository, and as SSLalignment feeds it.
    "ssltie": InputSpec(ImageSpec(resize="crop"), _SSLTIE_AUDIO),
    "ssltie@sslalignment": InputSpec(_SQUASH_TENSOR, _SSLTIE_AUDIO),
    # JSA, test path: the middle 5 s, centered Hann power: 257 x 501.
    "joint_slots": InputSpec(ImageSpec(), AudioSpec(seconds=5.0, hop=160, window_function="hann")),
    # SSPL, own repository, without and with predictive coding.
    "sspl": InputSpec(ImageSpec(resize="crop"), _SSPL_AUDIO),
    "sspl_pcm": InputSpec(ImageSpec(resize="crop"), _SSPL_AUDIO),
    # HearTheFlow, own repository: the middle 3 s at 22.05 kHz, to a whole second: 257 x 276.
    "heartheflow": InputSpec(ImageSpec(flow=True), AudioSpec(rate=22050, seconds=3.0, hop=238)),
    # Attention10k, own repository, whose images are resized bilinearly; the audio front end is ours: it has none.
    "attention10k": InputSpec(ImageSpec(size=320), _EZVSL_AUDIO),
    # CoarseToFine, own repository (testdata.py).
    "coarsetofine": InputSpec(ImageSpec(size=256), _COARSETOFINE_AUDIO),
    # DMC, own repository, whose images are resized bilinearly.
    "dmc": InputSpec(ImageSpec(), _DMC_AUDIO),
    # DSOL, own repository: as DMC's, which its authors wrote too.
    "dsol": InputSpec(ImageSpec(), _DMC_AUDIO),
    # Public encoders (soundspot.models.pretrained_specs, VGGish), as the feature extractors of their releases have it.
    "clip": InputSpec(ImageSpec(mean=CLIP_MEAN, std=CLIP_STD), _ALIGNMENT_AUDIO),
    "ast": InputSpec(ImageSpec(), _AST_AUDIO),
    "clap": InputSpec(ImageSpec(), _CLAP_AUDIO),
    "whisper": InputSpec(ImageSpec(), _WHISPER_AUDIO),
    "vggish": InputSpec(ImageSpec(), _VGGISH_AUDIO),
}
"""Front end of each released method by its name; `name@repository` where another repository feeds it differently.

`clip`, `ast`, `clap`, `whisper` and `vggish` are those of public encoders; a recipe's `clip+ast` takes the image front
end of one preset and the audio front end of another. How stereo becomes mono is not part of a preset: SSLalignment
keeps the left channel, the EZ-VSL family takes the mean (`channels` of `soundspot.data.media.audio.read_audio`).
"""

ENCODER_PRESETS = ("clip", "ast", "clap", "whisper", "vggish")
"""Names in `PRESETS` of public encoders; all others are methods'."""
