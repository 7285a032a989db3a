// Programs that checks run.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const run = (program, ...words) => {
  try {
    return execFileSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}${error.stderr}`);
  }
};

/** Runs a program of a user under Node and gives back what it prints, as JSON. */
export function script(app, source) {
  const file = join(app, "script.mjs");
  writeFileSync(file, source);
  return JSON.parse(run(process.execPath, file));
}
