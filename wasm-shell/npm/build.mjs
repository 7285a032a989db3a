// Builds `dist`: declarations by tsc, one file of JavaScript for each entry by esbuild, the module by wasm-opt.
// `../pkg` is there before: what wasm-bindgen made of the crate.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = `${here}..`;
const bin = (name) => `${root}/node_modules/.bin/${name}`;
const run = (program, ...words) => execFileSync(program, words, { cwd: here, stdio: "inherit" });

rmSync(`${here}dist`, { recursive: true, force: true });
mkdirSync(`${here}dist`);
run(bin("tsc"), "--project", "tsconfig.json");
// Declarations that no entry leads to.
for (const name of ["cache", "clients", "engine", "host", "lock", "member", "opfs", "replace", "turns", "worker"]) rmSync(`${here}dist/${name}.d.ts`);
// What module and JavaScript know each other's functions by ends in digits at random, which no compression makes shorter:
// numbers of the same length in their place, in both.
const pair = ["blockyard.js", "blockyard_bg.wasm"].map((name) => `${root}/pkg/${name}`);
const texts = pair.map((path) => readFileSync(path, "latin1"));
const ends = new Map([...new Set(texts[0].match(/_[0-9a-f]{16}(?=:)/g))].map((it, at) => [it, `_${String(at).padStart(16, "0")}`]));
// What browsers that keep a file do not need. The only text that goes into the module, or comes out of it, is what an exception says.
for (const [what, instead] of [
  [/^if \(Symbol\.dispose\).*\n/m, ""],
  [/^if \(!\('encodeInto' in [\s\S]*?\n\}\n/m, ""],
  [/^cachedTextDecoder\.decode\(\);\n/m, ""],
  [/^ +(cached\w+ = null|wasmInstance = instance|wasmModule = module);\n/gm, ""],
  [/ +numBytesDecoded \+=[\s\S]*?\n {4}\}\n/, ""],
  [/\(typeof FinalizationRegistry .*\n.*\n *: /, ""],
  [/if \(module !== undefined\) \{[\s\S]*?\n {4}\}\n/, "({ module } = module);\n"],
  [/if \(!\(module instanceof WebAssembly\.Module\)\) \{[\s\S]*?\n {4}\}\n/, ""],
  [/if \(realloc === undefined\) (\{[\s\S]*?\n {4}\})[\s\S]*?\n\}\n/, "$1\n}\n"],
]) {
  const cut = texts[0].replace(what, instead);
  // A newer wasm-bindgen writes something else: then this list has to be looked at again.
  if (cut === texts[0]) throw new Error(`wasm-bindgen made nothing that is like ${what}`);
  texts[0] = cut;
}
texts.forEach((text, at) => writeFileSync(pair[at], text.replace(/_[0-9a-f]{16}/g, (it) => ends.get(it) ?? it), "latin1"));
// What wasm-bindgen would say to who calls it otherwise, nobody hears.
const common = { bundle: true, format: "esm", target: "es2022", minify: true, drop: ["console"], absWorkingDir: here, outdir: "dist", logLevel: "warning" };
await build({ ...common, entryPoints: ["src/index.ts", "src/worker.ts", "src/sync.ts"], platform: "browser" });
await build({ ...common, entryPoints: ["src/node.ts"], platform: "node" });
const features = ["simd", "bulk-memory", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "reference-types", "multivalue"];
// Functions with one caller stay by themselves: as parts of it they make one that browsers take ten times as long to optimise,
// which they do while the first batches are made, and on the processor that writes them.
run(bin("wasm-opt"), "-O3", "--one-caller-inline-max-function-size=100", ...features.map((it) => `--enable-${it}`), "--strip-producers", "--strip-target-features",
  `${root}/pkg/blockyard_bg.wasm`, "-o", "dist/blockyard.wasm");
for (const license of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(`${root}/../${license}`, `${here}${license}`);

// What a page loads, as it travels.
const gzipped = (...names) => names.reduce((sum, name) => sum + gzipSync(readFileSync(`${here}dist/${name}`), { level: 9 }).length, 0);
const sizes = { wasm: gzipped("blockyard.wasm"), javascript: gzipped("index.js", "worker.js") };
console.log(`gzipped: wasm ${sizes.wasm} bytes, JavaScript ${sizes.javascript} bytes`);
