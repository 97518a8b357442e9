// The page: the chosen image and sounds are encoded once, and every result is cached.

import { colorize, summarize, upsample } from "./map.js";
import { loadModel } from "./model.js";
import { preprocess, readImage, visibleRegion } from "./image.js";
import { readAudio, extractWindow } from "./audio.js";

const element = (id) => document.getElementById(id);
const state = { model: null, image: null, sounds: [], selected: 0, result: null };
globalThis.soundspot = state; // for scripts that read the numbers

const showStatus = (text) => (element("status").textContent = text);
const showError = (text) => {
  element("error").textContent = text;
  element("error").hidden = !text;
};
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const number = (x) => x.toFixed(3);

/** Run jobs one after the other; errors are shown as text. */
let queue = Promise.resolve();
function work(text, job) {
  queue = queue.then(async () => {
    showError("");
    showStatus(text);
    await painted();
    try {
      await job();
      await update();
    } catch (error) {
      showError(error.message);
      showStatus(state.model ? "Ready." : "The model is not there.");
    }
  });
  return queue;
}

async function setImage(file) {
  const image = await readImage(file);
  const spec = state.model.metadata.front_end.image;
  image.encoded = await state.model.encodeImage(preprocess(image, spec));
  image.region = visibleRegion(image.size, spec);
  delete image.pixels;
  for (const sound of state.sounds) delete sound.result;
  state.image = image;
  for (const id of ["image-canvas", "heat"]) [element(id).height, element(id).width] = image.displaySize;
  element("image-canvas").getContext("2d").drawImage(image.canvas, 0, 0);
  element("stage").classList.add("filled");
}

async function setSounds(files) {
  const { audio } = state.model.metadata.front_end;
  const sounds = [];
  const errors = [];
  for (const file of files) {
    try {
      const sound = await readAudio(file, state.model.rate);
      sound.encoded = await state.model.encodeAudio(extractWindow(sound.samples, audio));
      delete sound.samples;
      sounds.push(sound);
    } catch (error) {
      errors.push(error.message);
    }
  }
  if (sounds.length) {
    state.sounds = sounds;
    state.selected = 0;
    listSounds();
  }
  if (errors.length) {
    await update();
    throw new Error(errors.join(" "));
  }
}

function listSounds() {
  const rows = state.sounds.map((sound, i) => {
    const button = Object.assign(document.createElement("input"), { type: "radio", name: "sound", checked: i === state.selected });
    button.addEventListener("change", () => work("Comparing…", async () => void (state.selected = i)));
    const name = Object.assign(document.createElement("span"), { textContent: sound.name, title: sound.name });
    const row = document.createElement("label");
    row.append(button, name);
    return row;
  });
  element("sound-list").replaceChildren(...rows);
}

async function update() {
  const { model, image } = state;
  const sound = state.sounds[state.selected];
  if (!image || !sound) return showStatus(image ? "Now choose a sound." : sound ? "Now choose an image." : "Ready.");
  if (!sound.result) {
    const output = await model.similarityMap(image.encoded, sound.encoded);
    const shape = output.dims.slice(1);
    const values = upsample(output.data, shape, image.displaySize, model.metadata.upsampling, image.region);
    sound.result = { scores: output.data, shape, values, ...summarize(output.data) };
  }
  state.result = sound.result;
  draw();
  const times = Object.entries(model.milliseconds).map(([part, ms]) => `${part} ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
  const { seconds } = model.metadata.front_end.audio;
  const notes = sound.seconds < seconds ? ` The sound lasts ${sound.seconds.toFixed(2)} s and was repeated to fill ${seconds} s.` : "";
  showStatus(`${times.join(", ")}.${notes}`);
}

function draw() {
  element("opaque").textContent = `${Math.round(100 * element("opacity").value)} %`;
  element("least").textContent = element("threshold").disabled ? "" : number(Number(element("threshold").value));
  const { result, image, model } = state;
  if (!result) return;
  const sound = state.sounds[state.selected];
  const colors = colorize(result.flat ? new Float32Array(result.values.length) : result.values, image.displaySize, model.theme.heat, element("opacity").value, model.theme);
  element("heat").getContext("2d").putImageData(colors, 0, 0);
  element("result").hidden = false;
  element("peak").textContent = number(result.peak);
  element("confidence").textContent = number(result.confidence);
  const minimum = element("threshold").disabled ? null : Number(element("threshold").value);
  element("verdict").textContent = sound.silent
    ? "silence: not in the image"
    : minimum === null
      ? "not known (no threshold was fitted)"
      : result.peak >= minimum
        ? "in the image"
        : "not in the image";
}

function offer(files) {
  const images = files.filter((file) => file.type.startsWith("image/"));
  const others = files.filter((file) => !file.type.startsWith("image/"));
  if (images.length) work("Looking at the image…", () => setImage(images[0]));
  if (others.length) work("Listening…", () => setSounds(others));
}

async function begin() {
  const model = await loadModel(showStatus);
  state.model = model;
  const { metadata } = model;
  const slider = element("threshold");
  if (metadata.threshold === null) slider.disabled = true;
  else {
    const most = Math.max(1, 2 * Math.abs(metadata.threshold));
    Object.assign(slider, { min: metadata.threshold < 0 ? -most : 0, max: most, value: metadata.threshold });
  }
  element("opacity").addEventListener("input", draw);
  slider.addEventListener("input", draw);
  draw();
  element("image").addEventListener("change", ({ target }) => target.files.length && work("Looking at the image…", () => setImage(target.files[0])));
  element("sounds").addEventListener("change", ({ target }) => target.files.length && work("Listening…", () => setSounds([...target.files])));
  for (const id of ["image", "sounds"]) element(id).disabled = false;
  const { image, audio } = metadata.front_end;
  element("model").textContent = `${metadata.title} (${metadata.weights}), images of ${image.size} x ${image.size}, ${audio.seconds} s of sound at ${audio.rate} Hz, soundspot ${metadata.soundspot}. ${metadata.notes.join(" ")}`;
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  element("stage").classList.add("over");
});
addEventListener("dragleave", () => element("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  element("stage").classList.remove("over");
  if (state.model) offer([...event.dataTransfer.files]);
});
element("slow").remove();
work("Loading the model…", begin);
