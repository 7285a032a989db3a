/** Blockyard under Node: the same file, as the command line reads it. Importing this opens nothing. */
import { copyOf, type Change, type Commit } from "./codec.js";
import { load, type Files, type Handle } from "./engine.js";
import { UnsupportedError } from "./errors.js";
import { Host } from "./host.js";
import { lock, type Fs } from "./lock.js";
import type { Requests } from "./requests.js";
import type { Name, OpenOptions } from "./types.js";
import { Yard, type Transport } from "./yard.js";

export * from "./errors.js";
export type * from "./types.js";
export { Batch, Reader, Snapshot, Transaction, Yard, type StreamOptions } from "./yard.js";

/** The shape of `FileSystemSyncAccessHandle` over a file descriptor. */
function handle(fs: Fs, path: string, flags: string): Handle {
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
    close: () => fs.closeSync(file),
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

/** A file by its absolute path; what is a link is followed once, so that a file is one, whichever way it was named. */
function files(fs: Fs, path: string): Files {
  let real = "";
  let unlock: (() => void) | undefined;
  const spare = () => `${real}.new`;
  /** A file that was made or renamed is durable with its folder. */
  const syncFolder = () => {
    // Windows has no such call.
    if (process.platform === "win32") return;
    const folder = fs.openSync(real.replace(/[^/]*$/, ""), "r");
    try {
      fs.fsyncSync(folder);
    } finally {
      fs.closeSync(folder);
    }
  };
  const create = (path: string) => {
    if (!fs.existsSync(path)) fs.closeSync(fs.openSync(path, "a"));
  };
  return {
    async open() {
      if (!real) {
        create(path);
        real = fs.realpathSync(path);
      }
      unlock ??= lock(fs, `${real}.lock`);
      create(real);
      // Whoever made it may not have come to that.
      if (fs.statSync(real).size === 0) syncFolder();
      return named(handle(fs, real, "r+"));
    },
    async spare() {
      return named(handle(fs, spare(), "w+"));
    },
    async discard() {
      fs.rmSync(spare(), { force: true });
    },
    async replace() {
      fs.renameSync(spare(), real);
      syncFolder();
    },
    async remove() {
      for (const path of [spare(), real]) fs.rmSync(path, { force: true });
    },
    release() {
      unlock?.();
      unlock = undefined;
    },
  };
}

const nameOf = (name: Name) => (typeof name === "string" ? name : copyOf(name));

/**
 * What a request brings to be kept, copied at its call, for a request may wait: a page's travels to its worker, and is copied
 * by that. What was packed is a copy, and what is handed over (`transfer`) need be none.
 */
function copied(request: keyof Requests, argument: unknown, handedOver: boolean): unknown {
  if (handedOver) return argument;
  switch (request) {
    case "commit": {
      const { changes, ...rest } = argument as Commit;
      if (changes instanceof Uint8Array) return argument;
      const copy = (change: Change): Change => {
        if ("delete" in change) return { delete: nameOf(change.delete) };
        const put = nameOf(change.put);
        return "value" in change ? { ...change, put, value: copyOf(change.value) } : { ...change, put };
      };
      return { ...rest, changes: changes.map(copy) };
    }
    case "write": {
      const { bytes, ...rest } = argument as Requests["write"][0];
      return { ...rest, bytes: copyOf(bytes) };
    }
    case "writeRange": {
      const { name, value, ...rest } = argument as Requests["writeRange"][0];
      return { ...rest, name: nameOf(name), value: copyOf(value) };
    }
    default:
      return argument;
  }
}

/** A listener that may ask for something itself: it is called when the engine's call is over. What it throws is its own affair. */
const aside = (progress: (figures: number[]) => void) => (figures: number[]) =>
  queueMicrotask(() => {
    try {
      progress(figures);
    } catch (error) {
      console.error(error);
    }
  });

/** Opens the file at `path`, or creates it. It is the process's own until it is closed. */
export async function open(path: string, options: OpenOptions = {}): Promise<Yard> {
  if (!globalThis.process?.versions?.node) {
    throw new UnsupportedError("this entry is for Node; a bundler took it for a browser: check its conditions");
  }
  // A program may go to another folder while this waits.
  const folder = process.cwd();
  const [fs, { resolve }] = await Promise.all([import("node:fs"), import("node:path")]);
  await load(() => fs.readFileSync(options.wasmUrl ? new URL(options.wasmUrl) : new URL("./blockyard.wasm", import.meta.url)));
  const host = new Host(options.storage === "memory" ? undefined : files(fs, resolve(folder, path)), options, options.onBlocked);
  const client = {
    id: "process",
    changed: (...told: Parameters<NonNullable<Transport["changed"]>>) => transport.changed?.(...told),
  };
  const transport: Transport = {
    request: (request, argument, progress, transfer) =>
      host.ask(client, request, copied(request, argument, !!transfer) as typeof argument, progress && aside(progress)),
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
