"""Front ends: what a method is fed, as values. `soundspot.data` turns pictures and sounds into it.

Every released method was trained and scored with a front end of its own; a
checkpoint carries the one it was made for, so that nobody has to remember it.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CENTERED_WINDOWS = (
    "hann",
    "hann-magnitude",
)  # window functions whose segments lie around their moments and not behind them


@dataclass(frozen=True)
class ImageSpec:
    """How a picture becomes (3, size, size).

    Attributes:
        size: side of the square the network sees, in pixels.
        resize: `squash` (aspect ratio not kept, PIL bicubic), `squash-tensor` (bicubic on the float tensor without
            antialiasing), `squash-tensor-antialias`, or `crop` (shorter side to `size` with PIL bicubic, centre crop).
        flow: two planes follow the picture's three: its optical flow, over 255 (`soundspot.data.media.optical_flow`), brought to size in
            the same way.
    """

    size: int = 224
    resize: Literal["squash", "squash-tensor", "squash-tensor-antialias", "crop"] = "squash"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    flow: bool = False

    @property
    def num_channels(self) -> int:
        """How many planes the network sees: those of colour, and the two of the flow where it looks at one."""
        return 5 if self.flow else 3


@dataclass(frozen=True)
class AudioSpec:
    """How a waveform becomes (1, f, t).

    Attributes:
        rate: samples a second the spectrogram is made at; None keeps the file's own (as several releases do).
        seconds: length of the window the network sees.
        clip_seconds: the file is first cut or tiled to this many seconds (None: taken whole), then the window is cut.
        window: which part of that: `center`, `first`, or `rolled` (the first, turned round so that the middle of the
            file lies in its middle).
        n_fft, hop: segment length and step in samples.
        function: `tukey` with constant detrend and one-sided power density (scipy.signal.spectrogram's defaults),
            `hann` power centred with reflection (librosa's and torchaudio's defaults), `kaldi` power of segments
            without their mean, pre-emphasised by 0.97, under a symmetric Hann window, filled up to a power of two,
            `magnitude`, its root, of segments as they are, under a periodic Hann window, filled up likewise (VGGish),
            or `hann-magnitude`, the root of `hann` power, with silence in place of reflection (librosa's stft).
        normalised: `hann` power divided by the window's energy (torchaudio's `normalized=True`).
        n_mels: 0 for linear frequency, else the number of mel bands.
        scaling: `log/12` = log(x + 1e-7) / 12, `db` = 10 log10(max(x, 1e-10)), `log` = log(max(x, 1.19e-7)),
            `log+0.01` = log(x + 0.01), `log+eps` = log(x + 2.2e-16), or `log10-8` = log10(max(x, 1e-10)), nothing of a
            sound more than 8 below its largest.
        frames: keep this many frames around the middle (0: all). Where there are fewer of `kaldi` power, zeros follow
            the scaled ones, as AST's feature extractor has it; elsewhere that is an error.
        mel: scale of the bands: `htk`, triangles of height 1 (torchaudio's default, which the releases that use mel
            bands rely on); `slaney`, triangles of equal area (librosa's); `kaldi`, triangles on the mel axis itself.
        low, high: edges of the lowest and the highest band in Hz; None is half the rate.
        padded: silence follows the window up to this many seconds.
        stretched: the window's samples are first shifted and divided, to lie in about [-1, 1] by its own least and most
            (SSPL).
        peak: the window's samples are first divided by the largest of their sizes (CoarseToFine).
        shift, scale: the scaled values are shifted and divided at last, (x - shift) / scale.
        vector: no spectrogram at all: what another network made of the sound, so many numbers, as (1, vector, 1).
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
        """(f, t) of the spectrogram; a front end that keeps each file's own rate is taken at 16 kHz."""
        if self.embedding_dim:
            return self.embedding_dim, 1
        samples = round(max(self.seconds, self.padded_seconds) * (self.rate or 16000))
        frames = 1 + (samples if self.window_function in CENTERED_WINDOWS else samples - self.n_fft) // self.hop
        return self.n_mels or self.n_fft // 2 + 1, self.num_frames or frames


@dataclass(frozen=True)
class InputSpec:
    """Both front ends of a method."""

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
    # LVS, own repository: shorter side and centre crop; the first 10 s, tiled: 257 x 671.
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
    # JSA, test path: the middle 5 s, centred Hann power: 257 x 501.
    "joint_slots": InputSpec(ImageSpec(), AudioSpec(seconds=5.0, hop=160, window_function="hann")),
    # SSPL, own repository, without and with predictive coding.
    "sspl": InputSpec(ImageSpec(resize="crop"), _SSPL_AUDIO),
    "sspl_pcm": InputSpec(ImageSpec(resize="crop"), _SSPL_AUDIO),
    # HearTheFlow, own repository: the middle 3 s at 22.05 kHz, to a whole second: 257 x 276.
    "heartheflow": InputSpec(ImageSpec(flow=True), AudioSpec(rate=22050, seconds=3.0, hop=238)),
    # Attention10k, own repository, whose pictures are resized bilinearly; the sound's part is ours: it has none.
    "attention10k": InputSpec(ImageSpec(size=320), _EZVSL_AUDIO),
    # CoarseToFine, own repository (testdata.py).
    "coarsetofine": InputSpec(ImageSpec(size=256), _COARSETOFINE_AUDIO),
    # DMC, own repository, whose pictures are resized bilinearly.
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
"""What each released method was scored with, by its name; `name@repository` where another one feeds it differently.

`clip`, `ast`, `clap`, `whisper` and `vggish` are those of public encoders; recipes say `clip+ast` for the picture's
part of one preset with the sound's of another.


Stereo is not part of a preset, because files are read before: SSLalignment keeps the left channel, the EZ-VSL family
takes the mean (`soundspot.data.media.audio.read_sound`, `channels`).
"""

ENCODER_PRESETS = ("clip", "ast", "clap", "whisper", "vggish")
"""Those of `PRESETS` that belong to a public encoder and not to a method."""
