// An image file as input of the model, and as the page displays it.

import { resample } from "./resize.js";

const MEGAPIXELS = 80;
const MAX_IMAGE_MEGABYTES = 100;
const DISPLAY_SIDE = 1280; // pixels of the longer side on the page
const MAX_SIDE = 16384; // pixels of a side that a canvas holds everywhere

/** Decode a file: upright, transparency laid on white. Throws an Error with a message for people. */
export async function readImage(file) {
  if (file.size > MAX_IMAGE_MEGABYTES * 1e6)
    throw new Error(`${file.name}: found ${Math.round(file.size / 1e6)} MB, expected an image of at most ${MAX_IMAGE_MEGABYTES} MB.`);
  checkSize(file.name, ...headerSize(new DataView(await file.slice(0, 1 << 20).arrayBuffer())));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name}: found no image that this browser can read. Save it as JPEG or PNG and choose it again.`);
  }
  checkSize(file.name, bitmap.width, bitmap.height);
  const size = [bitmap.height, bitmap.width];
  const pixels = drawn(bitmap, ...size).getImageData(0, 0, size[1], size[0]).data;
  const scale = Math.min(1, DISPLAY_SIDE / Math.max(...size));
  const displaySize = size.map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = drawn(bitmap, ...displaySize).canvas;
  bitmap.close();
  return { name: file.name, size, pixels, displaySize, canvas };
}

function drawn(bitmap, height, width) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context;
}

function checkSize(name, width = 0, height = 0) {
  if (width * height > MEGAPIXELS * 1e6 || Math.max(width, height) > MAX_SIDE)
    throw new Error(
      `${name}: found ${width} x ${height} pixels, expected at most ${MEGAPIXELS} megapixels and ${MAX_SIDE} on a side. Make it smaller first.`,
    );
}

/** Width and height from the header of a PNG or a JPEG, before anything is decoded; elsewhere nothing. */
function headerSize(view) {
  if (view.byteLength > 24 && view.getUint32(0) === 0x89504e47) return [view.getUint32(16), view.getUint32(20)];
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return [];
  for (let at = 2; at + 9 < view.byteLength; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint16(at);
    if (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker))
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    if (marker >> 8 !== 0xff) return [];
  }
  return [];
}

/** Return the region of an image that reaches the network, x0, y0, x1, y1 as fractions. */
export function visibleRegion([height, width], { resize, size }) {
  if (resize !== "crop") return [0, 0, 1, 1];
  const [H, W, top, left] = cropped(height, width, size);
  return [left / W, top / H, (left + size) / W, (top + size) / H];
}

function cropped(height, width, size) {
  const short = Math.min(height, width);
  const [H, W] = [height, width].map((side) => Math.floor((size * side) / short));
  return [H, W, halfEven((H - size) / 2), halfEven((W - size) / 2)];
}

const halfEven = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)); // Python's round

/** (3, size, size) in [0, 1], resized as the front end says. */
export function preprocess({ pixels, size: [h, w] }, { resize, size }) {
  const bytes = (x) => Math.min(255, Math.max(0, Math.round(x))); // PIL keeps bytes after each direction
  let resized;
  if (resize === "squash") resized = resample(pixels, 4, [h, w], [size, size], { kernel: "pil", antialias: true, fixed: true }, bytes);
  else if (resize === "crop") {
    const [H, W, top, left] = cropped(h, w, size);
    const scaled = resample(pixels, 4, [h, w], [H, W], { kernel: "pil", antialias: true, fixed: true }, bytes);
    resized = new Float32Array(size * size * 4);
    for (let y = 0; y < size; y++) resized.set(scaled.subarray(((top + y) * W + left) * 4, ((top + y) * W + left + size) * 4), y * size * 4);
  } else {
    const antialias = resize === "squash-tensor-antialias";
    resized = resample(pixels, 4, [h, w], [size, size], { kernel: antialias ? "pil" : "bicubic", antialias });
  }
  const planes = new Float32Array(3 * size * size);
  for (let c = 0; c < 3; c++) for (let i = 0; i < size * size; i++) planes[c * size * size + i] = resized[4 * i + c] / 255;
  return planes;
}
