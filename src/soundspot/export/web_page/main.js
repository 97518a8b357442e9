// The page: what is chosen is encoded once, and every answer is kept.

import { heat, readOut, spread } from "./map.js";
import { loadModel } from "./model.js";
import { prepared, readPicture, regionSeen } from "./picture.js";
import { readSound, windowed } from "./sound.js";

const at = (id) => document.getElementById(id);
const state = { model: null, picture: null, sounds: [], chosen: 0, answer: null };
globalThis.soundspot = state; // for whoever wants the numbers

const say = (text) => (at("status").textContent = text);
const complain = (text) => {
  at("error").textContent = text;
  at("error").hidden = !text;
};
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const number = (x) => x.toFixed(3);

/** One piece of work after the other; what goes wrong is shown in words. */
let queue = Promise.resolve();
function work(text, job) {
  queue = queue.then(async () => {
    complain("");
    say(text);
    await painted();
    try {
      await job();
      await answer();
    } catch (error) {
      complain(error.message);
      say(state.model ? "Ready." : "The model is not there.");
    }
  });
  return queue;
}

async function takePicture(file) {
  const picture = await readPicture(file);
  const { image } = state.model.card.front_end;
  picture.code = await state.model.see(prepared(picture, image));
  picture.region = regionSeen(picture.size, image);
  delete picture.pixels;
  for (const sound of state.sounds) delete sound.answer;
  state.picture = picture;
  for (const id of ["seen", "heat"]) [at(id).height, at(id).width] = picture.shown;
  at("seen").getContext("2d").drawImage(picture.canvas, 0, 0);
  at("stage").classList.add("filled");
}

async function takeSounds(files) {
  const { audio } = state.model.card.front_end;
  const sounds = [];
  const wrong = [];
  for (const file of files) {
    try {
      const sound = await readSound(file, state.model.rate);
      sound.code = await state.model.hear(windowed(sound.samples, audio));
      delete sound.samples;
      sounds.push(sound);
    } catch (error) {
      wrong.push(error.message);
    }
  }
  if (sounds.length) {
    state.sounds = sounds;
    state.chosen = 0;
    listSounds();
  }
  if (wrong.length) {
    await answer();
    throw new Error(wrong.join(" "));
  }
}

function listSounds() {
  const rows = state.sounds.map((sound, i) => {
    const button = Object.assign(document.createElement("input"), { type: "radio", name: "sound", checked: i === state.chosen });
    button.addEventListener("change", () => work("Comparing…", async () => void (state.chosen = i)));
    const name = Object.assign(document.createElement("span"), { textContent: sound.name, title: sound.name });
    const row = document.createElement("label");
    row.append(button, name);
    return row;
  });
  at("heard").replaceChildren(...rows);
}

async function answer() {
  const { model, picture } = state;
  const sound = state.sounds[state.chosen];
  if (!picture || !sound) return say(picture ? "Now choose a sound." : sound ? "Now choose a picture." : "Ready.");
  if (!sound.answer) {
    const made = await model.compare(picture.code, sound.code);
    const shape = made.dims.slice(1);
    const values = spread(made.data, shape, picture.shown, model.card.readout, picture.region);
    sound.answer = { scores: made.data, shape, values, ...readOut(made.data) };
  }
  state.answer = sound.answer;
  draw();
  const times = Object.entries(model.took).map(([part, ms]) => `${part} ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
  const { seconds } = model.card.front_end.audio;
  const notes = sound.seconds < seconds ? ` The sound lasts ${sound.seconds.toFixed(2)} s and was repeated to fill ${seconds} s.` : "";
  say(`${times.join(", ")}.${notes}`);
}

function draw() {
  at("opaque").textContent = `${Math.round(100 * at("opacity").value)} %`;
  at("least").textContent = at("threshold").disabled ? "" : number(Number(at("threshold").value));
  const { answer: found, picture, model } = state;
  if (!found) return;
  const sound = state.sounds[state.chosen];
  const colours = heat(found.flat ? new Float32Array(found.values.length) : found.values, picture.shown, model.look.heat, at("opacity").value, model.look);
  at("heat").getContext("2d").putImageData(colours, 0, 0);
  at("told").hidden = false;
  at("peak").textContent = number(found.peak);
  at("confidence").textContent = number(found.confidence);
  const least = at("threshold").disabled ? null : Number(at("threshold").value);
  at("verdict").textContent = sound.silent
    ? "silence: not in the picture"
    : least === null
      ? "not known (no threshold was fitted)"
      : found.peak >= least
        ? "in the picture"
        : "not in the picture";
}

function offer(files) {
  const pictures = files.filter((file) => file.type.startsWith("image/"));
  const others = files.filter((file) => !file.type.startsWith("image/"));
  if (pictures.length) work("Looking at the picture…", () => takePicture(pictures[0]));
  if (others.length) work("Listening…", () => takeSounds(others));
}

async function begin() {
  const model = await loadModel(say);
  state.model = model;
  const { card } = model;
  const slider = at("threshold");
  if (card.threshold === null) slider.disabled = true;
  else {
    const most = Math.max(1, 2 * Math.abs(card.threshold));
    Object.assign(slider, { min: card.threshold < 0 ? -most : 0, max: most, value: card.threshold });
  }
  at("opacity").addEventListener("input", draw);
  slider.addEventListener("input", draw);
  draw();
  at("picture").addEventListener("change", ({ target }) => target.files.length && work("Looking at the picture…", () => takePicture(target.files[0])));
  at("sounds").addEventListener("change", ({ target }) => target.files.length && work("Listening…", () => takeSounds([...target.files])));
  for (const id of ["picture", "sounds"]) at(id).disabled = false;
  const { image, audio } = card.front_end;
  at("model").textContent = `${card.title} (${card.weights}), pictures of ${image.size} x ${image.size}, ${audio.seconds} s of sound at ${audio.rate} Hz, soundspot ${card.soundspot}. ${card.notes.join(" ")}`;
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  at("stage").classList.add("over");
});
addEventListener("dragleave", () => at("stage").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  if (state.model) offer([...event.dataTransfer.files]);
});
at("slow").remove();
work("Loading the model…", begin);
