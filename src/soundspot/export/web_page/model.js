// The model: three graphs and their metadata, run by onnxruntime-web in this thread.

const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** A file of this page: embedded in it, compressed, or lying beside it. */
async function asset(name) {
  const embedded = document.getElementById(`file:${name}`);
  if (embedded) {
    const packed = await fetch(`data:application/octet-stream;base64,${embedded.textContent.trim()}`);
    embedded.remove(); // its text is large, and is not needed again
    return new Uint8Array(await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  }
  const response = await fetch(name).catch(() => null);
  if (!response?.ok) throw new Error(`${name} is missing beside this page, or the page was opened without a web server. Export it again, or serve its folder.`);
  return new Uint8Array(await response.arrayBuffer());
}

const json = async (name) => JSON.parse(new TextDecoder().decode(await asset(name)));

/** Load the model and the runtime. Throws an Error with a message for people. */
export async function loadModel(showStatus) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(Uint8Array.from(SIMD)))
    throw new Error("This browser has no WebAssembly SIMD, which the model runs on. Use one made since 2023.");
  const [metadata, theme] = [await json("model.json"), await json("theme.json")];
  showStatus("Loading the runtime…");
  const code = new Blob([await asset("ort.wasm.bundle.min.mjs")], { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  const ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.numThreads = 1; // more need headers that a plain host of files does not send
  ort.env.wasm.wasmBinary = await asset("ort-wasm-simd-threaded.wasm");
  const sessions = {};
  for (const name of ["image", "audio", "map"]) {
    showStatus(`Loading the model (${name})…`);
    try {
      sessions[name] = await ort.InferenceSession.create(await asset(`${name}.onnx`), { executionProviders: ["wasm"] });
    } catch (error) {
      throw new Error(`${name}.onnx cannot be loaded (${error.message}). Export the page again.`);
    }
  }
  const milliseconds = {};
  const run = async (name, inputs) => {
    const start = performance.now();
    const output = Object.values(await sessions[name].run(inputs))[0];
    milliseconds[name] = performance.now() - start;
    return output;
  };
  const { image, audio } = metadata.front_end;
  return {
    metadata,
    theme,
    milliseconds, // of the last run of each graph
    encodeImage: (planes) => run("image", { image: new ort.Tensor("float32", planes, [1, 3, image.size, image.size]) }),
    encodeAudio: (samples) => run("audio", { audio: new ort.Tensor("float32", samples, [1, samples.length]) }),
    similarityMap: (image, audio) => run("map", { encoded_image: image, encoded_audio: audio }),
    rate: audio.rate,
  };
}
