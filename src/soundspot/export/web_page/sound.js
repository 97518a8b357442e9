// A sound file to the window of samples that the model hears.

const SOUND_MEGABYTES = 100;

/** Decode a file, or a video's sound: mono at `rate`. Throws an Error in words. */
export async function readSound(file, rate) {
  if (file.size > SOUND_MEGABYTES * 1e6)
    throw new Error(`${file.name}: found ${Math.round(file.size / 1e6)} MB, expected a sound of at most ${SOUND_MEGABYTES} MB. Cut it first.`);
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer()); // resamples too
  } catch {
    throw new Error(`${file.name}: found no sound that this browser can decode. Save it as WAV, MP3 or FLAC and choose it again.`);
  }
  if (!decoded.length) throw new Error(`${file.name}: found a sound of no samples, expected at least one.`);
  const mono = new Float32Array(decoded.length);
  for (let c = 0; c < decoded.numberOfChannels; c++) {
    const channel = decoded.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / decoded.numberOfChannels;
  }
  let silent = true;
  for (let i = 0; i < mono.length; i++) {
    mono[i] = Math.min(1, Math.max(-1, mono[i]));
    silent &&= mono[i] === 0;
  }
  return { name: file.name, samples: mono, seconds: mono.length / rate, silent };
}

/** `seconds` from `start` (in samples; null: the middle of a long sound), repeated end to end where it is too short. */
function cut(samples, wanted, start) {
  if (samples.length >= wanted) {
    const first = start ?? Math.floor((samples.length - wanted) / 2);
    return samples.subarray(first, first + wanted);
  }
  return Float32Array.from({ length: wanted }, (_, i) => samples[((start ?? 0) + i) % samples.length]);
}

/** What the model hears of a sound, as the front end says. */
export function windowed(samples, { rate, seconds, clip_seconds: clip, window }) {
  const of = (time) => Math.max(1, Math.round(time * rate));
  const whole = clip ? cut(samples, of(clip), 0) : samples;
  const part = cut(whole, of(seconds), window === "center" ? null : 0);
  if (window !== "rolled") return Float32Array.from(part);
  const n = part.length;
  const by = Math.floor(n / 2) - Math.floor(whole.length / 2);
  return Float32Array.from({ length: n }, (_, i) => part[(((i - by) % n) + n) % n]);
}
