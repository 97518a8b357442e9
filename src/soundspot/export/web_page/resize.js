// Resampling as the library does it, so that an image means the same here: PIL's and torch's filters, separable.

const cubic = (a) => (x) => {
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
};
const KERNELS = {
  bilinear: [(x) => Math.max(0, 1 - Math.abs(x)), 1],
  bicubic: [cubic(-0.75), 2], // torch's
  pil: [cubic(-0.5), 2], // Pillow's, and torch's with antialiasing
};

/** For each of `made` samples of an axis: where its weights begin among `given` ones, and the weights. */
export function axis(given, made, { kernel, antialias = false, aligned = false, fixed = false }) {
  if (kernel === "nearest") return Array.from({ length: made }, (_, i) => [Math.floor((i * given) / made), [1]]);
  const [f, reach] = KERNELS[kernel];
  const step = aligned ? (made > 1 ? (given - 1) / (made - 1) : 0) : given / made;
  const wide = antialias ? Math.max(1, step) : 1;
  return Array.from({ length: made }, (_, i) => {
    const at = aligned ? i * step : (i + 0.5) * step - 0.5;
    if (antialias) {
      const center = at + 0.5;
      const first = Math.max(0, Math.trunc(center - reach * wide + 0.5));
      const last = Math.min(given, Math.trunc(center + reach * wide + 0.5));
      const weights = Array.from({ length: last - first }, (_, k) => f((first + k - center + 0.5) / wide));
      const sum = weights.reduce((a, b) => a + b, 0);
      return [first, weights.map((w) => (fixed ? Math.round((w / sum) * 2 ** 22) / 2 ** 22 : w / sum))]; // as PIL's bytes
    }
    const from = kernel === "bilinear" && !aligned ? Math.max(0, at) : at;
    const first = Math.floor(from) - reach + 1; // weights beyond an edge go to the sample at the edge
    const clamped = new Map();
    for (let k = first; k < first + 2 * reach; k++) {
      const j = Math.min(given - 1, Math.max(0, k));
      clamped.set(j, (clamped.get(j) || 0) + f(from - k));
    }
    return [Math.min(...clamped.keys()), [...clamped.values()]];
  });
}

/** Planes of values, channels interleaved, from (h, w) to (H, W); `settle` is applied after each direction. */
export function resample(values, channels, [h, w], [H, W], filter, settle = (x) => x) {
  const rows = axis(h, H, filter);
  const columns = axis(w, W, filter);
  const low = rows[0][0];
  const high = Math.max(...rows.map(([first, weights]) => first + weights.length));
  const between = new Float32Array((high - low) * W * channels);
  for (let y = low; y < high; y++)
    for (let x = 0; x < W; x++) {
      const [first, weights] = columns[x];
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * values[(y * w + first + k) * channels + c];
        between[((y - low) * W + x) * channels + c] = settle(sum);
      }
    }
  const made = new Float32Array(H * W * channels);
  for (let y = 0; y < H; y++) {
    const [first, weights] = rows[y];
    for (let x = 0; x < W * channels; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * between[(first - low + k) * W * channels + x];
      made[y * W * channels + x] = settle(sum);
    }
  }
  return made;
}
