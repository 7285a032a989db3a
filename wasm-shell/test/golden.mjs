// Golden images of the browser shell: what the WebAssembly module lays out and exports. The firmware and the command
// line read them in `cargo xtask mcu`. Those that are there are never written again.
//
//     node wasm-shell/test/golden.mjs FOLDER
//
// FOLDER holds the module and its JavaScript, as the browser step leaves them in wasm-shell/pkg.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = process.argv[2];
if (!folder) throw new Error("usage: golden.mjs FOLDER");
const { initSync, Yard } = await import(pathToFileURL(resolve(folder, "blockyard.js")));
initSync({ module: readFileSync(resolve(folder, "blockyard_bg.wasm")) });
const golden = join(dirname(fileURLToPath(import.meta.url)), "..", "tests", "golden");
mkdirSync(golden, { recursive: true });

const text = (words) => new TextEncoder().encode(words);

/** Bytes that only arithmetic makes. */
function pattern(seed, length) {
  let state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}

/** Blocks of every kind, some changed, renamed and deleted; the last changes stay in the journal if `unfolded`. */
function image(pageSize, journalSize, chunkSize, unfolded) {
  const yard = Yard.open(undefined, text("a browser's file"), Float64Array.of(pageSize, journalSize, chunkSize, 0, 0, 1));
  const commit = (changes) => {
    const batch = yard.begin();
    for (const [name, value] of changes) {
      if (value) yard.put(batch, text(name), value, value.length);
      else yard.delete(batch, text(name));
    }
    yard.commit(Uint32Array.of(batch), true);
  };
  [0, 1, pageSize / 4, pageSize / 4 + 1, chunkSize].forEach((length, index) =>
    commit([[`put/${index}`, pattern(index, length)]]),
  );
  commit(Array.from({ length: 30 }, (_, index) => [`many/${index}`, pattern(100 + index, 20 + index)]));
  yard.checkpoint();
  const writer = yard.beginWriter();
  yard.write(writer, pattern(7, 2 * chunkSize + 5), new Uint8Array());
  const batch = yard.begin();
  yard.finishWriter(writer, batch, text("streamed"), 7);
  yard.commit(Uint32Array.of(batch), true);
  yard.rename(text("put/4"), text("Straße/ünïcode"), true);
  commit([["many/7"], ["put/1", pattern(9, 300)]]);
  if (!unfolded) yard.checkpoint();
  return trimmed(yard.raw(0, yard.fileLength()));
}

/** Without the zeros at the end, which a device may put back. */
function trimmed(bytes) {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return bytes.subarray(0, Math.ceil(end / 512) * 512);
}

for (const [name, ...layout] of [
  ["v1-browser-512.by", 512, 8 << 10, 1024, false],
  ["v1-browser-4096-unfolded.by", 4096, 16 << 10, 8192, true],
]) {
  const file = join(golden, name);
  if (existsSync(file)) continue;
  writeFileSync(file, image(...layout));
  console.log(`${file} is written`);
}
