// Peak and confidence of a map, its upsampling and its colors.

import { resample } from "./resize.js";

/** Return peak, confidence (mean of the highest quarter of the scores, as the library) and whether all are equal. */
export function summarize(scores) {
  const sorted = Float32Array.from(scores).sort().reverse();
  const quarter = sorted.subarray(0, Math.max(1, Math.floor(sorted.length / 4)));
  return {
    peak: sorted[0],
    low: sorted[sorted.length - 1],
    confidence: quarter.reduce((a, b) => a + b, 0) / quarter.length,
    flat: sorted[0] === sorted[sorted.length - 1],
  };
}

/** Upsample scores to the size of an image, min-max normalized to [0, 1]; the minimum beyond `region`. */
export function upsample(scores, shape, [height, width], { mode }, [x0, y0, x1, y1]) {
  const [left, top, right, bottom] = [x0 * width, y0 * height, x1 * width, y1 * height].map(Math.round);
  const inside = [Math.max(1, bottom - top), Math.max(1, right - left)];
  const [kernel, aligned] = mode.split("-");
  const up = resample(scores, 1, shape, inside, { kernel, aligned: aligned === "aligned" });
  let low = Infinity;
  let high = -Infinity;
  for (const value of up) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const span = high - low || 1;
  const values = new Float32Array(height * width);
  for (let y = 0; y < inside[0]; y++)
    for (let x = 0; x < inside[1]; x++) values[(top + y) * width + left + x] = (up[y * inside[1] + x] - low) / span;
  return values;
}

/** Color values in [0, 1] as pixels to lay over the image; up to `clear` they are transparent. */
export function colorize(values, [height, width], colors, opacity, { clear, full }) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const rise = Math.min(1, Math.max(0, (values[i] - clear) / (full - clear)));
    const color = colors[Math.round(Math.min(1, Math.max(0, values[i])) * 255)];
    pixels.data.set(color, 4 * i);
    pixels.data[4 * i + 3] = Math.round(255 * opacity * rise * rise * (3 - 2 * rise));
  }
  return pixels;
}
