/** Blockyard under Node: the same file, as the command line reads it. Importing this opens nothing. */
import { load, type Files, type Handle } from "./engine.js";
import { LockedError, UnsupportedError } from "./errors.js";
import { Host } from "./host.js";
import type { OpenOptions } from "./types.js";
import { Yard, type Transport } from "./yard.js";

export * from "./errors.js";
export type * from "./types.js";
export { Batch, Reader, Snapshot, Transaction, Yard, type StreamOptions } from "./yard.js";

type Fs = typeof import("node:fs");

/** The shape of `FileSystemSyncAccessHandle` over a file descriptor. */
function handle(fs: Fs, path: string, flags: string, unlock: () => void): Handle {
  const file = fs.openSync(path, flags);
  return {
    read: (buffer, { at }) => fs.readSync(file, buffer, 0, buffer.length, at),
    write(buffer, { at }) {
      let written = 0;
      while (written < buffer.length) {
        written += fs.writeSync(file, buffer, written, buffer.length - written, at + written);
      }
      return written;
    },
    flush: () => fs.fdatasyncSync(file),
    getSize: () => fs.fstatSync(file).size,
    truncate: (length) => fs.ftruncateSync(file, length),
    close() {
      fs.closeSync(file);
      unlock();
    },
  };
}

/** What Node calls a full disk is what a browser calls a full quota. */
function named<H extends Handle>(it: H): H {
  const rename =
    <A extends unknown[], R>(call: (...words: A) => R) =>
    (...words: A): R => {
      try {
        return call(...words);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") (error as Error).name = "QuotaExceededError";
        throw error;
      }
    };
  return { ...it, write: rename(it.write), truncate: rename(it.truncate), flush: rename(it.flush) };
}

/** Whether a process of this number is there. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

/** Node has no file locks: a file beside it says who has it. */
function lock(fs: Fs, path: string): () => void {
  for (let tries = 0; ; tries++) {
    try {
      fs.writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => fs.rmSync(path, { force: true });
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") throw error;
      const holder = Number(fs.readFileSync(path, "utf8"));
      if (tries > 3 || !holder || alive(holder)) {
        throw new LockedError(`another process has this file (${path} names it); close it there and try again`);
      }
      // It ended without letting go.
      fs.rmSync(path, { force: true });
    }
  }
}

function files(fs: Fs, path: string): Files {
  const spare = `${path}.new`;
  return {
    async open() {
      const unlock = lock(fs, `${path}.lock`);
      try {
        if (!fs.existsSync(path)) fs.closeSync(fs.openSync(path, "a"));
        return named(handle(fs, path, "r+", unlock));
      } catch (error) {
        unlock();
        throw error;
      }
    },
    async spare() {
      return named(handle(fs, spare, "w+", () => {}));
    },
    async discard() {
      fs.rmSync(spare, { force: true });
    },
    async replace() {
      fs.renameSync(spare, path);
      // A rename is durable with its folder.
      const folder = fs.openSync(path.replace(/[^/]*$/, "") || ".", "r");
      try {
        fs.fsyncSync(folder);
      } finally {
        fs.closeSync(folder);
      }
    },
    async remove() {
      fs.rmSync(path, { force: true });
    },
  };
}

/** Opens the file at `path`, or creates it. It is the process's own until it is closed. */
export async function open(path: string, options: OpenOptions = {}): Promise<Yard> {
  if (!globalThis.process?.versions?.node) {
    throw new UnsupportedError("this entry is for Node; a bundler took it for a browser: check its conditions");
  }
  const fs = await import("node:fs");
  await load(() => fs.readFileSync(options.wasmUrl ? new URL(options.wasmUrl) : new URL("./blockyard.wasm", import.meta.url)));
  const host = new Host(options.storage === "memory" ? undefined : files(fs, path), options, options.onBlocked);
  const client = {
    id: "process",
    changed: (...told: Parameters<NonNullable<Transport["changed"]>>) => transport.changed?.(...told),
  };
  const transport: Transport = {
    request: (request, argument, progress) => host.ask(client, request, argument, progress),
    close: async () => {
      await host.settled();
      host.close();
    },
  };
  try {
    options.signal?.throwIfAborted();
    await host.open();
  } catch (error) {
    await transport.close().catch(() => {});
    throw error;
  }
  return new Yard(transport, path, options.durability);
}
