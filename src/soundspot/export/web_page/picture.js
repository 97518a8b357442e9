// A picture file to what the model sees, and to what people see.

import { resample } from "./resize.js";

const MEGAPIXELS = 80;
const PICTURE_MEGABYTES = 100;
const SHOWN = 1280; // pixels of the longer side on the page
const MOST = 16384; // pixels of a side that a canvas holds everywhere

/** Decode a file: upright, transparency laid on white. Throws an Error in words. */
export async function readPicture(file) {
  if (file.size > PICTURE_MEGABYTES * 1e6)
    throw new Error(`${file.name}: found ${Math.round(file.size / 1e6)} MB, expected a picture of at most ${PICTURE_MEGABYTES} MB.`);
  refuseLarge(file.name, ...sizeTold(new DataView(await file.slice(0, 1 << 20).arrayBuffer())));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name}: found no picture that this browser can read. Save it as JPEG or PNG and choose it again.`);
  }
  refuseLarge(file.name, bitmap.width, bitmap.height);
  const size = [bitmap.height, bitmap.width];
  const pixels = drawn(bitmap, ...size).getImageData(0, 0, size[1], size[0]).data;
  const scale = Math.min(1, SHOWN / Math.max(...size));
  const shown = size.map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = drawn(bitmap, ...shown).canvas;
  bitmap.close();
  return { name: file.name, size, pixels, shown, canvas };
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

function refuseLarge(name, width = 0, height = 0) {
  if (width * height > MEGAPIXELS * 1e6 || Math.max(width, height) > MOST)
    throw new Error(
      `${name}: found ${width} x ${height} pixels, expected at most ${MEGAPIXELS} megapixels and ${MOST} on a side. Make it smaller first.`,
    );
}

/** Width and height from the header of a PNG or a JPEG, before anything is decoded; elsewhere nothing. */
function sizeTold(view) {
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

/** The part of a picture that reaches the network, x0, y0, x1, y1 as fractions. */
export function regionSeen([height, width], { resize, size }) {
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
export function prepared({ pixels, size: [h, w] }, { resize, size }) {
  const bytes = (x) => Math.min(255, Math.max(0, Math.round(x))); // PIL keeps bytes after each direction
  let made;
  if (resize === "squash") made = resample(pixels, 4, [h, w], [size, size], { kernel: "pil", antialias: true, fixed: true }, bytes);
  else if (resize === "crop") {
    const [H, W, top, left] = cropped(h, w, size);
    const whole = resample(pixels, 4, [h, w], [H, W], { kernel: "pil", antialias: true, fixed: true }, bytes);
    made = new Float32Array(size * size * 4);
    for (let y = 0; y < size; y++) made.set(whole.subarray(((top + y) * W + left) * 4, ((top + y) * W + left + size) * 4), y * size * 4);
  } else {
    const antialias = resize === "squash-tensor-antialias";
    made = resample(pixels, 4, [h, w], [size, size], { kernel: antialias ? "pil" : "bicubic", antialias });
  }
  const planes = new Float32Array(3 * size * size);
  for (let c = 0; c < 3; c++) for (let i = 0; i < size * size; i++) planes[c * size * size + i] = made[4 * i + c] / 255;
  return planes;
}
