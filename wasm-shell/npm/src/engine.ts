/** The wasm module, and a store that runs in this very thread. */
import { initSync, Yard as Engine } from "../../pkg/blockyard.js";
import { textOf, unpack } from "./codec.js";
import { InvalidError, NotFoundError, UnsupportedError } from "./errors.js";
import type { EngineOptions, VerifyReport } from "./types.js";

export type { Engine };

/** What a store lies on: `FileSystemSyncAccessHandle`, or an object of the same shape. */
export interface Handle {
  read(buffer: Uint8Array, options: { at: number }): number;
  write(buffer: Uint8Array, options: { at: number }): number;
  flush(): void;
  getSize(): number;
  truncate(length: number): void;
  close(): void;
}

/** A file, and a second one beside it that can take its place. */
export interface Files {
  /** Opens the file, and finishes a replacement that was cut short. Where it takes a lock for that, it keeps it until `release`. */
  open(): Promise<Handle>;
  /** A new empty file beside it. */
  spare(): Promise<Handle>;
  /** Removes the spare file, which is closed. */
  discard(): Promise<void>;
  /** Puts the spare file, which is closed and durable, in place of the file, which is closed. */
  replace(): Promise<void>;
  remove(): Promise<void>;
  /** Lets others have the file, which is closed. */
  release?(): void;
}

let loaded: Promise<unknown> | undefined;

/** Compiles the module, from its bytes or from where it is. */
function compiled(source: unknown): Promise<WebAssembly.Module> {
  if (source instanceof Uint8Array) return WebAssembly.compile(source as BufferSource);
  // A server that does not know what kind of file it is gets in the way of the quick one.
  return WebAssembly.compileStreaming(fetch(source as URL)).catch(async () =>
    WebAssembly.compile(await (await fetch(source as URL)).arrayBuffer()),
  );
}

/** Loads the module, once. */
export function load(source: () => unknown): Promise<unknown> {
  loaded ??= compiled(source())
    .then((module) => initSync({ module }))
    .catch((error: unknown) => {
      loaded = undefined;
      if ((error as Error)?.name !== "CompileError") throw error;
      throw new UnsupportedError(
        "the module does not compile: use a newer browser, one that has WebAssembly SIMD, and check wasmUrl",
      );
    });
  return loaded;
}

/** Opens the store on a handle, or in memory. */
export function attach(handle: Handle | undefined, options: EngineOptions, create = true): Engine {
  const { pageSize, journalSize, chunkSize, growth, cacheSize } = options;
  const id = crypto.getRandomValues(new Uint8Array(16));
  const numbers = Float64Array.from([pageSize, journalSize, chunkSize, growth, cacheSize, +create], (it) => it ?? 0);
  return Engine.open(handle, id, numbers);
}

/** Whether no more can be done with an engine: after a failed write it says so, after a trap in the module it cannot even be asked. */
export function isDead(engine: Engine): boolean {
  try {
    return engine.isPoisoned();
  } catch {
    return true;
  }
}

/** Frees an engine, unless it has trapped. */
export function drop(engine: Engine | undefined): void {
  try {
    engine?.free();
  } catch {
    // Its memory is lost.
  }
}

/** No digest. */
export const NONE = new Uint8Array();
export const PIECE = 1 << 20;
const EXPORTED = 8 << 20;

/** Changes part of a block: the rest of it is copied inside the file. Returns the commit's number. */
export function writeRange(engine: Engine, name: Uint8Array, start: number, value: Uint8Array, durable: boolean): number {
  const [found] = unpack(engine.metadata(0, name));
  if (!found) throw new NotFoundError("there is no block of this name");
  if (!(start >= 0 && start <= found.length)) throw new InvalidError("the range begins behind the block's end");
  const [writer, batch] = [engine.beginWriter(), engine.begin()];
  const copy = (from: number, to: number) => {
    for (let at = from; at < to; at += PIECE) engine.write(writer, engine.get(0, name, at, Math.min(at + PIECE, to))!, NONE);
  };
  try {
    copy(0, start);
    engine.write(writer, value, NONE);
    copy(start + value.length, found.length);
    engine.finishCopy(writer, batch, name, engine.tag(0, name));
    return engine.commit(Uint32Array.of(batch), durable);
  } finally {
    // What was used up is not known any more.
    engine.release(writer);
    engine.release(batch);
  }
}

/** Reads and compares every byte. */
export function verified(engine: Engine, progress?: (...figures: [number, number, number, number]) => void): VerifyReport {
  const [blocks, bytes, pages, leakedPages, problemCount, ...problems] = engine.verify(progress) as [
    number, number, number, number, number, ...[Uint8Array | null, string][],
  ];
  return {
    blocks, bytes, pages, leakedPages, problemCount,
    problems: problems.map(([name, message]) => ({ name: name && textOf(name), message })),
  };
}

/** The whole file, as of one commit. */
export function exported(engine: Engine, progress?: (figures: number[]) => void): Blob {
  engine.checkpoint();
  const length = engine.fileLength();
  const pieces: Blob[] = [];
  for (let at = 0; at < length; at += EXPORTED) {
    pieces.push(new Blob([engine.raw(at, EXPORTED) as BlobPart]));
    progress?.([Math.min(at + EXPORTED, length), length]);
  }
  return new Blob(pieces, { type: "application/octet-stream" });
}
