"""Sounds of the procedural categories: synthesized timbres that differ in spectrogram rather than in pitch alone.

Each is a pure function of a random state and the time, jittered in pitch, tempo, phase and color. Events repeat on a
phase that wraps: its floor counts them, its fraction is the time since the last one, so nothing loops over samples.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Wave = Float[np.ndarray, " t"]
Period = Float[np.ndarray, " p"]
Timbre = Callable[[np.random.Generator, Wave, int], Wave]
TIMBRES: dict[str, Timbre] = {}

TABLE_SIZE = 16384  # samples in one period of a wave table; read without interpolation, so it is long


def register_timbre(make: Timbre) -> Timbre:
    """Register a timbre by the name of its function; a decorator."""
    TIMBRES[make.__name__] = make
    return make


@lru_cache(maxsize=8)
def time_axis(samples: int, rate: int) -> Wave:
    """Return the time of each sample in seconds."""
    return np.arange(samples, dtype=np.float32) / np.float32(rate)


@lru_cache(maxsize=64)
def wave_table(weights: tuple[float, ...]) -> Period:
    """Return one period of a sum of harmonics (weights of the first, second, ...), peak 1, phases spread."""
    turns = np.arange(TABLE_SIZE) / TABLE_SIZE
    period = sum(w * np.sin(2 * np.pi * (k * turns + 0.37 * k * k)) for k, w in enumerate(weights, 1))
    return (period / np.abs(period).max()).astype(np.float32)


def read_table(period: Period, turns: Wave) -> Wave:
    """Read a wave table at a phase in turns."""
    return period[((turns - np.floor(turns)) * np.float32(TABLE_SIZE)).astype(np.int32) & (TABLE_SIZE - 1)]


SINE = wave_table((1.0,))


@lru_cache(maxsize=16)
def noise_table(bandwidth: int, rate: int) -> Wave:
    """Return 2^18 samples of noise below `bandwidth` Hz with unit power, of which sounds are random crops."""
    samples = 1 << 18
    white = np.fft.rfft(np.random.default_rng(bandwidth).standard_normal(samples))
    white[int(bandwidth / rate * samples) :] = 0
    sheet = np.fft.irfft(white, samples)
    return (sheet / sheet.std()).astype(np.float32)


def noise(rng: np.random.Generator, samples: int, bandwidth: int, rate: int) -> Wave:
    """Draw noise below `bandwidth` Hz of unit power."""
    sheet = noise_table(bandwidth, rate)
    start = int(rng.integers(len(sheet)))
    piece = sheet[start : start + samples]
    return piece if len(piece) == samples else np.resize(np.roll(sheet, -start), samples)


def jitter(rng: np.random.Generator, value: float, spread: float = 0.15) -> np.float32:
    """Draw a value within a factor of 1 + spread of `value`, either way."""
    return np.float32(value * (1 + spread) ** rng.uniform(-1, 1))


def repeat_events(rng: np.random.Generator, t: Wave, tempo: float, spread: float = 0.3) -> tuple[Wave, Wave]:
    """Draw evenly spaced events, about `tempo` a second; return seconds since the last event and its number."""
    pace = jitter(rng, tempo, spread)
    count = t * pace + np.float32(rng.random())
    number = np.floor(count)
    return (count - number) / pace, number


def per_event(rng: np.random.Generator, number: Wave, low: float, high: float) -> Wave:
    """Draw a value in [low, high) for each event."""
    values = rng.uniform(low, high, int(number[-1]) + 1).astype(np.float32)
    return values[number.astype(np.int32)]


@register_timbre
def hum(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """A low steady stack of eight harmonics that breathes."""
    f = jitter(rng, 110.0)
    swell = 1 + np.float32(0.4) * read_table(SINE, t * jitter(rng, 0.8) + np.float32(rng.random()))
    return read_table(wave_table((1.0, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15)), t * f) * swell


@register_timbre
def bell(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Struck bells: frequency modulation at an inharmonic ratio, index falling with loudness."""
    since, number = repeat_events(rng, t, 2.0)
    f = jitter(rng, 620.0) * per_event(rng, number, 0.9, 1.2)
    fade = np.exp(since * np.float32(-4))
    return fade * read_table(SINE, f * since + np.float32(0.5) * fade * read_table(SINE, f * since * np.float32(3.53)))


@register_timbre
def warble(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Short chirps that rise through the upper band, as birds do."""
    since, number = repeat_events(rng, t, 6.0)
    f = jitter(rng, 2600.0) * per_event(rng, number, 0.9, 1.15)
    return read_table(SINE, since * f * (1 + 5 * since)) * np.exp(-((since * 14 - 1) ** 2))


@register_timbre
def siren(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """A few harmonics that glide up and down slowly."""
    f, swing, tempo = jitter(rng, 800.0), np.float32(0.35), jitter(rng, 0.9, 0.4)
    glide = read_table(SINE, t * tempo + np.float32(rng.random())) * (f * swing / (tempo * np.float32(2 * np.pi)))
    return read_table(wave_table((1.0, 0.5, 0.6, 0.2)), t * f + glide)


@register_timbre
def clicks(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """A train of dry broadband clicks."""
    since, number = repeat_events(rng, t, 10.0)
    return noise(rng, len(t), 7900, rate) * np.exp(since * np.float32(-220)) * per_event(rng, number, 0.5, 1.0)


@register_timbre
def hiss(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """A steady band of high noise, wavering slowly."""
    waver = 1 + np.float32(0.3) * read_table(SINE, t * jitter(rng, 1.5, 0.5) + np.float32(rng.random()))
    return noise(rng, len(t), 1000, rate) * read_table(SINE, t * jitter(rng, 5200.0)) * waver


@register_timbre
def motor(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Low noise chopped fast, with a rattle on top."""
    since, _ = repeat_events(rng, t, 26.0)
    chop = np.exp(since * np.float32(-60))
    return chop * (noise(rng, len(t), 300, rate) + np.float32(0.35) * noise(rng, len(t), 1500, rate))


@register_timbre
def pluck(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Plucked notes of a bright string whose upper harmonics die first."""
    since, number = repeat_events(rng, t, 4.0)
    turns = since * jitter(rng, 330.0) * per_event(rng, number, 0.85, 1.3)
    bright = read_table(wave_table(tuple(1 / k for k in range(1, 11))), turns)
    return np.exp(since * np.float32(-7)) * bright + np.float32(0.5) * np.exp(since * np.float32(-3)) * read_table(
        SINE, turns
    )


@register_timbre
def zap(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Tones that fall from the top of the band to its bottom."""
    since, number = repeat_events(rng, t, 2.5)
    speed = jitter(rng, 7.0, 0.3)
    turns = jitter(rng, 4200.0) * per_event(rng, number, 0.85, 1.1) * (1 - np.exp(-speed * since)) / speed
    return read_table(wave_table((1.0, 0.3)), turns) * np.exp(since * np.float32(-2))


@register_timbre
def organ(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """A held fifth of hollow pipes (odd harmonics) with a fast tremolo."""
    f = jitter(rng, 470.0)
    pipes = wave_table((1.0, 0.0, 0.6, 0.0, 0.45, 0.0, 0.35, 0.0, 0.25))
    tremolo = 1 + np.float32(0.6) * read_table(SINE, t * jitter(rng, 6.5) + np.float32(rng.random()))
    return (read_table(pipes, t * f) + read_table(pipes, t * f * np.float32(1.5))) * tremolo


@register_timbre
def gusts(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Swelling gusts of noise in the middle band."""
    since, number = repeat_events(rng, t, 2.2)
    swell = np.exp(-(((since - np.float32(0.25)) * 8) ** 2)) * per_event(rng, number, 0.6, 1.0)
    return swell * noise(rng, len(t), 400, rate) * read_table(SINE, t * jitter(rng, 1500.0))


@register_timbre
def ringer(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Two high tones in quick alternation, with their third harmonics, as old telephones ring."""
    _, number = repeat_events(rng, t, 14.0)
    f = jitter(rng, 1900.0)
    low = number.astype(np.int32) & 1 == 0
    return read_table(wave_table((1.0, 0.0, 0.5)), t * np.where(low, f, f * np.float32(1.26)))


def synthesize(name: str, rng: np.random.Generator, samples: int, rate: int) -> Wave:
    """Synthesize a sound.

    Args:
        name: timbre, a key of `TIMBRES`.
        rng: generator of pitch, tempo, phase, color and level.
        samples: number of samples.
        rate: sample rate in Hz.

    Returns:
        (samples,) float32 in [-1, 1]: peak between 0.25 and 0.9, noise 26 to 46 dB below it.
    """
    sound = TIMBRES[name](rng, time_axis(samples, rate), rate)
    sound = sound * np.float32(1 / max(float(np.abs(sound).max()), 1e-6))
    hush = np.float32(0.3 * 10 ** rng.uniform(-2.3, -1.3))  # noise has a peak of about 4 deviations
    sound = sound + hush * noise(rng, samples, rate // 2, rate)
    return (sound * np.float32(rng.uniform(0.25, 0.9) / max(float(np.abs(sound).max()), 1e-6))).astype(np.float32)
