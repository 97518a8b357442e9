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
    """Register a timbre in `TIMBRES` by the name of its function; a decorator.

    Args:
        make: function of (generator, (t,) times in seconds, sample rate in Hz) that returns (t,) samples of any level.

    Returns:
        The function, unchanged.
    """
    TIMBRES[make.__name__] = make
    return make


@lru_cache(maxsize=8)
def time_axis(samples: int, rate: int) -> Wave:
    """Return the time of each sample.

    Args:
        samples: number of samples.
        rate: sample rate in Hz.

    Returns:
        (samples,) float32 times in seconds, from 0.
    """
    return np.arange(samples, dtype=np.float32) / np.float32(rate)


@lru_cache(maxsize=64)
def wave_table(weights: tuple[float, ...]) -> Period:
    """Return one period of a sum of harmonics with fixed, spread phases.

    Args:
        weights: amplitudes of the first, second, ... harmonic.

    Returns:
        (16384,) float32 with a peak of 1 in absolute value.
    """
    turns = np.arange(TABLE_SIZE) / TABLE_SIZE
    period = sum(w * np.sin(2 * np.pi * (k * turns + 0.37 * k * k)) for k, w in enumerate(weights, 1))
    return (period / np.abs(period).max()).astype(np.float32)


def read_table(period: Period, turns: Wave) -> Wave:
    """Read a wave table at given phases, without interpolation.

    Args:
        period: (16384,) wave table.
        turns: (t,) phases in turns, any real numbers; only their fraction counts.

    Returns:
        (t,) samples.
    """
    return period[((turns - np.floor(turns)) * np.float32(TABLE_SIZE)).astype(np.int32) & (TABLE_SIZE - 1)]


SINE = wave_table((1.0,))


@lru_cache(maxsize=16)
def noise_table(bandwidth: int, rate: int) -> Wave:
    """Return fixed noise below a frequency, of which sounds are random crops.

    Args:
        bandwidth: upper limit of the noise in Hz, up to half the rate.
        rate: sample rate in Hz.

    Returns:
        (2^18,) float32 with a standard deviation of 1, the same in each call.
    """
    samples = 1 << 18
    white = np.fft.rfft(np.random.default_rng(bandwidth).standard_normal(samples))
    white[int(bandwidth / rate * samples) :] = 0
    sheet = np.fft.irfft(white, samples)
    return (sheet / sheet.std()).astype(np.float32)


def noise(rng: np.random.Generator, samples: int, bandwidth: int, rate: int) -> Wave:
    """Draw noise below a frequency, with unit power.

    Args:
        rng: generator that chooses where the crop of `noise_table` begins.
        samples: number of samples.
        bandwidth: upper limit of the noise in Hz, up to half the rate.
        rate: sample rate in Hz.

    Returns:
        (samples,) float32; the table is continued from its beginning where it ends.
    """
    sheet = noise_table(bandwidth, rate)
    start = int(rng.integers(len(sheet)))
    piece = sheet[start : start + samples]
    return piece if len(piece) == samples else np.resize(np.roll(sheet, -start), samples)


def jitter(rng: np.random.Generator, value: float, spread: float = 0.15) -> np.float32:
    """Draw a value within a factor of 1 + spread of `value`, either way, uniform in its logarithm.

    Args:
        rng: generator of the draw.
        value: middle value.
        spread: largest relative change, 0 or more.

    Returns:
        The value, from value / (1 + spread) to value * (1 + spread).
    """
    return np.float32(value * (1 + spread) ** rng.uniform(-1, 1))


def repeat_events(rng: np.random.Generator, t: Wave, tempo: float, spread: float = 0.3) -> tuple[Wave, Wave]:
    """Draw evenly spaced events of random tempo and phase.

    Args:
        rng: generator of tempo and phase.
        t: (t,) time of each sample in seconds.
        tempo: middle number of events per second.
        spread: largest relative change of the tempo.

    Returns:
        (t,) seconds since the last event, and the (t,) number of that event, from 0.
    """
    pace = jitter(rng, tempo, spread)
    count = t * pace + np.float32(rng.random())
    number = np.floor(count)
    return (count - number) / pace, number


def per_event(rng: np.random.Generator, number: Wave, low: float, high: float) -> Wave:
    """Draw a value in [low, high) for each event.

    Args:
        rng: generator of the values.
        number: (t,) number of the event at each sample, rising.
        low: least value.
        high: upper limit of the values.

    Returns:
        (t,) float32 value of the event at each sample.
    """
    values = rng.uniform(low, high, int(number[-1]) + 1).astype(np.float32)
    return values[number.astype(np.int32)]


@register_timbre
def hum(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a hum: a low steady stack of eight harmonics that breathes.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    f = jitter(rng, 110.0)
    swell = 1 + np.float32(0.4) * read_table(SINE, t * jitter(rng, 0.8) + np.float32(rng.random()))
    return read_table(wave_table((1.0, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15)), t * f) * swell


@register_timbre
def bell(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize struck bells: frequency modulation at an inharmonic ratio, index falling with loudness.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 2.0)
    f = jitter(rng, 620.0) * per_event(rng, number, 0.9, 1.2)
    fade = np.exp(since * np.float32(-4))
    return fade * read_table(SINE, f * since + np.float32(0.5) * fade * read_table(SINE, f * since * np.float32(3.53)))


@register_timbre
def warble(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize short chirps that rise through the upper band, as birds do.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 6.0)
    f = jitter(rng, 2600.0) * per_event(rng, number, 0.9, 1.15)
    return read_table(SINE, since * f * (1 + 5 * since)) * np.exp(-((since * 14 - 1) ** 2))


@register_timbre
def siren(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a siren: a few harmonics that glide up and down slowly.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    f, swing, tempo = jitter(rng, 800.0), np.float32(0.35), jitter(rng, 0.9, 0.4)
    glide = read_table(SINE, t * tempo + np.float32(rng.random())) * (f * swing / (tempo * np.float32(2 * np.pi)))
    return read_table(wave_table((1.0, 0.5, 0.6, 0.2)), t * f + glide)


@register_timbre
def clicks(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a train of dry broadband clicks.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 10.0)
    return noise(rng, len(t), 7900, rate) * np.exp(since * np.float32(-220)) * per_event(rng, number, 0.5, 1.0)


@register_timbre
def hiss(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a hiss: a steady band of high noise, wavering slowly.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    waver = 1 + np.float32(0.3) * read_table(SINE, t * jitter(rng, 1.5, 0.5) + np.float32(rng.random()))
    return noise(rng, len(t), 1000, rate) * read_table(SINE, t * jitter(rng, 5200.0)) * waver


@register_timbre
def motor(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a motor: low noise chopped fast, with a rattle on top.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, _ = repeat_events(rng, t, 26.0)
    chop = np.exp(since * np.float32(-60))
    return chop * (noise(rng, len(t), 300, rate) + np.float32(0.35) * noise(rng, len(t), 1500, rate))


@register_timbre
def pluck(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize plucked notes of a bright string whose upper harmonics die first.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 4.0)
    turns = since * jitter(rng, 330.0) * per_event(rng, number, 0.85, 1.3)
    bright = read_table(wave_table(tuple(1 / k for k in range(1, 11))), turns)
    return np.exp(since * np.float32(-7)) * bright + np.float32(0.5) * np.exp(since * np.float32(-3)) * read_table(
        SINE, turns
    )


@register_timbre
def zap(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize tones that fall from the top of the band to its bottom.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 2.5)
    speed = jitter(rng, 7.0, 0.3)
    turns = jitter(rng, 4200.0) * per_event(rng, number, 0.85, 1.1) * (1 - np.exp(-speed * since)) / speed
    return read_table(wave_table((1.0, 0.3)), turns) * np.exp(since * np.float32(-2))


@register_timbre
def organ(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize a held fifth of hollow pipes (odd harmonics) with a fast tremolo.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    f = jitter(rng, 470.0)
    pipes = wave_table((1.0, 0.0, 0.6, 0.0, 0.45, 0.0, 0.35, 0.0, 0.25))
    tremolo = 1 + np.float32(0.6) * read_table(SINE, t * jitter(rng, 6.5) + np.float32(rng.random()))
    return (read_table(pipes, t * f) + read_table(pipes, t * f * np.float32(1.5))) * tremolo


@register_timbre
def gusts(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize swelling gusts of noise in the middle band.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    since, number = repeat_events(rng, t, 2.2)
    swell = np.exp(-(((since - np.float32(0.25)) * 8) ** 2)) * per_event(rng, number, 0.6, 1.0)
    return swell * noise(rng, len(t), 400, rate) * read_table(SINE, t * jitter(rng, 1500.0))


@register_timbre
def ringer(rng: np.random.Generator, t: Wave, rate: int) -> Wave:
    """Synthesize two high tones in quick alternation, with their third harmonics, as old telephones ring.

    Args:
        rng: generator of pitch, tempo and phase.
        t: (t,) time of each sample in seconds.
        rate: sample rate in Hz.

    Returns:
        (t,) samples of any level; `synthesize` normalizes them.
    """
    _, number = repeat_events(rng, t, 14.0)
    f = jitter(rng, 1900.0)
    low = number.astype(np.int32) & 1 == 0
    return read_table(wave_table((1.0, 0.0, 0.5)), t * np.where(low, f, f * np.float32(1.26)))


def synthesize(name: str, rng: np.random.Generator, samples: int, rate: int) -> Wave:
    """Synthesize a sound of a timbre, with some noise behind it.

    Args:
        name: name of the timbre, a key of `TIMBRES`.
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
