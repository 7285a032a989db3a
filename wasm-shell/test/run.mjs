// Everything about the package: as a package, under Node, and in real browsers. Each part closes with
// `N passed, N failed`. Words: names of browsers (default: both), `--only TEXT` for some cases, `--quick`.
// CLI is the command line's program, WASM_TESTS the folder of the crate's tests.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { build } from "vite";
import { launch, NAMES } from "./browsers.mjs";
import { inBrowser } from "./in-browser.mjs";
import { ofPackage } from "./of-package.mjs";
import { serve } from "./server.mjs";
import { Tally } from "./tally.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const words = process.argv.slice(2);
const only = words.includes("--only") ? words[words.indexOf("--only") + 1] : "";
const browsers = NAMES.filter((name) => words.includes(name) || !words.some((word) => NAMES.includes(word)));
const work = mkdtempSync(join(tmpdir(), "blockyard-browser-"));

/** A program of a user: the package from its tarball beside what it imports. */
function consumer() {
  const app = join(work, "app");
  cpSync(join(here, "app"), app, { recursive: true });
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const [{ filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", work], { cwd: join(here, "../npm"), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
  );
  const tarball = join(work, filename);
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: app, stdio: "ignore" });
  return { app, tarball, installed: join(app, "node_modules/blockyard") };
}

async function bundle({ app, installed }) {
  const vite = join(work, "vite");
  await build({ root: app, base: "/vite/", logLevel: "warn", build: { outDir: vite, emptyOutDir: true, target: "es2022" } });
  const demo = join(work, "demo");
  const source = join(app, "demo");
  cpSync(join(here, "../demo"), source, { recursive: true });
  await build({ root: source, base: "/demo/", logLevel: "warn", build: { outDir: demo, emptyOutDir: true, target: "es2022" } });
  const plain = join(work, "esbuild");
  // As the README says: the worker and the module are copied, for esbuild leaves their addresses alone.
  await esbuild.build({ entryPoints: [join(here, "app/small.js")], bundle: true, format: "esm", outdir: plain, nodePaths: [join(app, "node_modules")], logLevel: "warning" });
  for (const file of ["worker.js", "blockyard.wasm"]) cpSync(join(installed, "dist", file), join(plain, file));
  writeFileSync(join(plain, "index.html"), '<!doctype html><title>esbuild</title><script type="module" src="small.js"></script>');
  const crate = join(work, "crate");
  cpSync(process.env.WASM_TESTS, crate, { recursive: true });
  cpSync(join(here, "crate"), crate, { recursive: true });
  return { vite, demo, esbuild: plain, crate, package: join(installed, "dist") };
}

async function main() {
  const parts = [];
  const made = consumer();
  const tally = new Tally("package");
  await ofPackage(tally, { ...made, work, only });
  parts.push(tally);
  const folders = await bundle(made);
  // Side by side: each waits most of the time. Lines begin with the browser's name.
  const tried = browsers.map(async (name) => {
    const tally = new Tally(name);
    try {
      await inBrowser(tally, { name, folders, work, only, serve, launch, quick: words.includes("--quick") });
    } catch (error) {
      await tally.check("the browser works", () => Promise.reject(error));
    }
    return tally;
  });
  parts.push(...(await Promise.all(tried)));
  console.log("");
  // Of a part in which nothing was asked for nothing is said.
  const asked = parts.filter((part) => only === "" || part.passed + part.failed > 0);
  return asked.length > 0 && asked.map((part) => part.finish()).every(Boolean);
}

let fine = false;
try {
  fine = await main();
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(fine ? 0 : 1);
