// Runs the speed page in the browsers and writes docs/benchmarks/browser.md. Words: names of browsers.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { launch, NAMES } from "../test/browsers.mjs";
import { serve } from "../test/server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "blockyard-bench-"));
const names = NAMES.filter((name) => process.argv.length < 3 || process.argv.includes(name));
const only = process.env.ENGINES?.split(",");
const rounds = Number(process.env.ROUNDS ?? 3);
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** The page, bundled beside the packages that it compares. */
async function bundle() {
  const app = join(work, "app");
  cpSync(here, app, { recursive: true, filter: (path) => !path.endsWith(".mjs") });
  const modules = join(app, "node_modules");
  mkdirSync(join(modules, "@sqlite.org"), { recursive: true });
  for (const name of ["dexie", "idb-keyval", "@sqlite.org/sqlite-wasm"]) symlinkSync(join(here, "../node_modules", name), join(modules, name));
  symlinkSync(join(here, "../npm"), join(modules, "blockyard"));
  const out = join(work, "out");
  await build({ root: app, base: "/bench/", logLevel: "error", worker: { format: "es" }, build: { outDir: out, target: "es2022" } });
  return out;
}

const ENGINES = ["blockyard", "raw handle", "idb-keyval", "dexie", "sqlite-wasm"];
const number = (it) => (it === undefined ? "" : it >= 100 ? it.toFixed(0) : it.toPrecision(3));

function table(found) {
  const engines = ENGINES.filter((engine) => Object.values(found).some((times) => engine in times));
  const lines = [`| ms, median | ${engines.join(" | ")} | to the raw handle | to the best other |`, `|---|${"---:|".repeat(engines.length + 2)}`];
  for (const [what, times] of Object.entries(found)) {
    const medians = Object.fromEntries(Object.entries(times).filter(([, all]) => all.length > 0).map(([engine, all]) => [engine, median(all)]));
    const others = Object.entries(medians).filter(([engine]) => engine !== "blockyard" && engine !== "raw handle").map(([, it]) => it);
    const ratio = (to) => (to && Number.isFinite(to) ? `${(medians.blockyard / to).toFixed(2)} ×` : "");
    lines.push(`| ${what} | ${engines.map((it) => number(medians[it])).join(" | ")} | ${ratio(medians["raw handle"])} | ${ratio(Math.min(...others))} |`);
  }
  return lines.join("\n");
}

const { devDependencies } = JSON.parse(readFileSync(join(here, "../package.json"), "utf8"));
const text = [
  "# Blockyard beside others in browsers", "",
  `Written by \`node wasm-shell/bench/run.mjs\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0].model}, ${rounds} rounds in which the engines take turns.`,
  "Records of 4,096 bytes, everything durable when it is answered: one `flush()` for Blockyard and the raw handle, strict transactions of IndexedDB,",
  "`synchronous=FULL`. Times are taken in the page, so each holds the way to a worker and back but IndexedDB's.",
  "The raw handle keeps its slots in memory and checks nothing. What is read was written shortly before, so Blockyard's worker has it in its cache.",
  "What a page has read lately Blockyard answers in the page itself, unless it is opened with `cache: 0`; each engine reads the same 50 names over and over.",
  "The engines begin in another order in each round, with a pause of a second between them. Single puts are those into three stores a round,",
  "each behind a first batch of 500 and 20 puts. The machine is shared: look at ratios.",
  `idb-keyval ${devDependencies["idb-keyval"]}, Dexie ${devDependencies.dexie}, @sqlite.org/sqlite-wasm ${devDependencies["@sqlite.org/sqlite-wasm"]} (opfs-sahpool).`, "",
];
try {
  // Pages that are isolated have a finer clock; the package does not ask for it.
  const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const server = await serve({ bench: await bundle() }, isolated);
  for (const name of names) {
    const browser = await launch(name, { "dom.quotaManager.temporaryStorage.fixedLimit": 4 << 20 });
    const version = await browser.version();
    console.log(version);
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.log(`${name}: ${error}`));
    page.on("console", (message) => console.log(`${name}: ${message.text()}`));
    await page.goto(`${server.url}/bench/`);
    await page.waitForFunction("window.run", { polling: 50 });
    const found = {};
    for (let round = 0; round < rounds; round++) {
      const one = await page.evaluate((only, from) => window.run({ rounds: 1, from, ...(only && { only }) }), only, round);
      for (const [what, times] of Object.entries(one))
        for (const [engine, all] of Object.entries(times)) ((found[what] ??= {})[engine] ??= []).push(...all);
      console.log(`${version}: round ${round + 1} of ${rounds}`);
    }
    text.push(`## ${version}`, "", table(found), "");
    console.log(table(found));
    await browser.close();
  }
  server.close();
  if (!only) writeFileSync(join(here, "../../docs/benchmarks/browser.md"), `${text.join("\n").trimEnd()}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(0);
