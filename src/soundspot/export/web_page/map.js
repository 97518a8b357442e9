// What is read from a map, and its heat.

import { resample } from "./resize.js";

/** Peak, confidence (mean of the highest quarter of the scores, as the library has it) and whether all are the same. */
export function readOut(scores) {
  const falling = Float32Array.from(scores).sort().reverse();
  const quarter = falling.subarray(0, Math.max(1, Math.floor(falling.length / 4)));
  return {
    peak: falling[0],
    low: falling[falling.length - 1],
    confidence: quarter.reduce((a, b) => a + b, 0) / quarter.length,
    flat: falling[0] === falling[falling.length - 1],
  };
}

/** Scores at the size of a picture, scaled to [0, 1] by their own least and most; the least beyond `region`. */
export function spread(scores, shape, [height, width], { mode }, [x0, y0, x1, y1]) {
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
  const whole = new Float32Array(height * width);
  for (let y = 0; y < inside[0]; y++)
    for (let x = 0; x < inside[1]; x++) whole[(top + y) * width + left + x] = (up[y * inside[1] + x] - low) / span;
  return whole;
}

/** The heat of values in [0, 1] as pixels to lay over the picture; up to `clear` they leave it as it is. */
export function heat(values, [height, width], colours, opacity, { clear, full }) {
  const drawn = new ImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const rise = Math.min(1, Math.max(0, (values[i] - clear) / (full - clear)));
    const colour = colours[Math.round(Math.min(1, Math.max(0, values[i])) * 255)];
    drawn.data.set(colour, 4 * i);
    drawn.data[4 * i + 3] = Math.round(255 * opacity * rise * rise * (3 - 2 * rise));
  }
  return drawn;
}
