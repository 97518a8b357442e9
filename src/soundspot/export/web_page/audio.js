// An audio file as input of the model: a window of samples.

const MAX_AUDIO_MEGABYTES = 100;

/** Decode a file, or a video's sound: mono at `rate`. Throws an Error with a message for people. */
export async function readAudio(file, rate) {
  if (file.size > MAX_AUDIO_MEGABYTES * 1e6)
    throw new Error(`${file.name}: found ${Math.round(file.size / 1e6)} MB, expected a sound of at most ${MAX_AUDIO_MEGABYTES} MB. Cut it first.`);
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
function crop(samples, length, start) {
  if (samples.length >= length) {
    const first = start ?? Math.floor((samples.length - length) / 2);
    return samples.subarray(first, first + length);
  }
  return Float32Array.from({ length: length }, (_, i) => samples[((start ?? 0) + i) % samples.length]);
}

/** Extract the model's window, as the front end says. */
export function extractWindow(samples, { rate, seconds, clip_seconds: clip, window }) {
  const of = (time) => Math.max(1, Math.round(time * rate));
  const full = clip ? crop(samples, of(clip), 0) : samples;
  const windowSamples = crop(full, of(seconds), window === "center" ? null : 0);
  if (window !== "rolled") return Float32Array.from(windowSamples);
  const n = windowSamples.length;
  const by = Math.floor(n / 2) - Math.floor(full.length / 2);
  return Float32Array.from({ length: n }, (_, i) => windowSamples[(((i - by) % n) + n) % n]);
}
