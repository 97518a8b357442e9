// The model: three graphs and what they say of themselves, run by onnxruntime-web in this thread.

const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** A file of this page: embedded in it, compressed, or lying beside it. */
async function asset(name) {
  const embedded = document.getElementById(`file:${name}`);
  if (embedded) {
    const packed = await fetch(`data:application/octet-stream;base64,${embedded.textContent.trim()}`);
    embedded.remove(); // its text is large, and is not needed again
    return new Uint8Array(await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  }
  const found = await fetch(name).catch(() => null);
  if (!found?.ok) throw new Error(`${name} is missing beside this page, or the page was opened without a web server. Export it again, or serve its folder.`);
  return new Uint8Array(await found.arrayBuffer());
}

const json = async (name) => JSON.parse(new TextDecoder().decode(await asset(name)));

/** Load all that the page needs. Throws an Error in words. */
export async function loadModel(say) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(Uint8Array.from(SIMD)))
    throw new Error("This browser has no WebAssembly SIMD, which the model runs on. Use one made since 2023.");
  const [card, look] = [await json("model.json"), await json("look.json")];
  say("Loading the runtime…");
  const code = new Blob([await asset("ort.wasm.bundle.min.mjs")], { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  const ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.numThreads = 1; // more need headers that a plain host of files does not send
  ort.env.wasm.wasmBinary = await asset("ort-wasm-simd-threaded.wasm");
  const sessions = {};
  for (const part of ["picture", "sound", "map"]) {
    say(`Loading the model (${part})…`);
    try {
      sessions[part] = await ort.InferenceSession.create(await asset(`${part}.onnx`), { executionProviders: ["wasm"] });
    } catch (error) {
      throw new Error(`${part}.onnx cannot be loaded (${error.message}). Export the page again.`);
    }
  }
  const took = {};
  const run = async (part, given) => {
    const start = performance.now();
    const made = Object.values(await sessions[part].run(given))[0];
    took[part] = performance.now() - start;
    return made;
  };
  const { image, audio } = card.front_end;
  return {
    card,
    look,
    took, // milliseconds that each part last took
    see: (planes) => run("picture", { picture: new ort.Tensor("float32", planes, [1, 3, image.size, image.size]) }),
    hear: (samples) => run("sound", { sound: new ort.Tensor("float32", samples, [1, samples.length]) }),
    compare: (seen, heard) => run("map", { picture_code: seen, sound_code: heard }),
    rate: audio.rate,
  };
}
