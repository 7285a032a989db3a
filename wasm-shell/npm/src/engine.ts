/** The wasm module, and a store that runs in this very thread. */
import init, { initSync, Options, Yard as Engine } from "../../pkg/blockyard.js";
import type { EngineOptions } from "./types.js";

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
  /** Opens the file, and finishes a replacement that was cut short. */
  open(): Promise<Handle>;
  /** A new empty file beside it. */
  spare(): Promise<Handle>;
  /** Removes the spare file, which is closed. */
  discard(): Promise<void>;
  /** Puts the spare file, which is closed and durable, in place of the file, which is closed. */
  replace(): Promise<void>;
  remove(): Promise<void>;
}

let loaded: Promise<unknown> | undefined;

/** Loads the module, once. */
export function load(source: () => unknown): Promise<unknown> {
  loaded ??= Promise.resolve(source())
    .then((it) => (it instanceof Uint8Array ? initSync({ module: it as BufferSource }) : init({ module_or_path: it as URL })))
    .catch((error: unknown) => {
      loaded = undefined;
      throw error;
    });
  return loaded;
}

/** Opens the store on a handle, or in memory. */
export function attach(handle: Handle | undefined, options: EngineOptions, create = true): Engine {
  const settings = new Options(crypto.getRandomValues(new Uint8Array(16)));
  try {
    settings.sizes(options.pageSize ?? 0, options.journalSize ?? 0, options.chunkSize ?? 0);
    settings.memory(options.growth ?? 0, options.cacheSize ?? 0);
    settings.access(false, create);
    return handle ? Engine.open(handle, settings) : Engine.inMemory(new Uint8Array(), settings);
  } finally {
    settings.free();
  }
}
