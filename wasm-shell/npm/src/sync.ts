/** A yard inside a worker, without promises: every call is over when it returns. */
import { after, bytesOf, pack, scanOf, statsOf, textOf, unpack, type Change } from "./codec.js";
import { attach, exported, load, NONE, PIECE, verified, writeRange, type Engine, type Handle } from "./engine.js";
import { ClosedError, LockedError, wrap } from "./errors.js";
import { missing, opfs, unsupported } from "./opfs.js";
import type {
  Durability, Entry, ListOptions, Metadata, Name, OpenOptions, PutOptions, Stats, Value, VerifyProgress, VerifyReport,
  WriteOptions,
} from "./types.js";

export * from "./errors.js";
export type * from "./types.js";

/** What can be read, of now or of a snapshot. */
export class SyncReader {
  /** @internal */
  protected readonly run: <T>(work: (engine: Engine) => T) => T;
  /** @internal */
  protected readonly at: number;

  /** @internal */
  constructor(run: <T>(work: (engine: Engine) => T) => T, at: number) {
    this.run = run;
    this.at = at;
  }

  /** A block's bytes; undefined if it does not exist. */
  get(name: Name): Uint8Array | undefined {
    return this.readRange(name, 0);
  }

  getText(name: Name): string | undefined {
    const bytes = this.get(name);
    return bytes && textOf(bytes);
  }

  getJSON<T = unknown>(name: Name): T | undefined {
    const text = this.getText(name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  /** Bytes `start` to below `end` of a block, verified; undefined if it does not exist. */
  readRange(name: Name, start: number, end = Infinity): Uint8Array | undefined {
    const last = Math.min(end, Number.MAX_SAFE_INTEGER);
    return this.run((engine) => engine.get(this.at, bytesOf(name), start, last));
  }

  has(name: Name): boolean {
    return this.metadata(name) !== undefined;
  }

  /** What is known of a block without reading it. */
  metadata(name: Name): Metadata | undefined {
    const [entry] = unpack(this.run((engine) => engine.metadata(this.at, bytesOf(name))));
    if (!entry) return undefined;
    const { length, digest, sequence, tag, chunks } = entry;
    return { length, digest, sequence, tag, chunks };
  }

  /**
   * A block's bytes in pieces of 1 MiB, verified, as of the moment of the first; undefined if it does not exist.
   * Nothing else needs room for more than a piece.
   */
  pieces(name: Name): Generator<Uint8Array, void, undefined> | undefined {
    return this.has(name) ? this.#pieces(bytesOf(name)) : undefined;
  }

  *#pieces(name: Uint8Array): Generator<Uint8Array, void, undefined> {
    const snapshot = this.at || this.run((engine) => engine.snapshot());
    try {
      for (let start = 0; ; start += PIECE) {
        const piece = this.run((engine) => engine.get(snapshot, name, start, start + PIECE));
        if (!piece?.length) return;
        yield piece;
      }
    } finally {
      if (!this.at) this.run((engine) => engine.release(snapshot));
    }
  }

  /** Blocks in the order of their names. */
  *list(options: ListOptions = {}): Generator<Entry, void, undefined> {
    let scan = scanOf(this.at, options);
    for (let left = options.limit ?? Infinity; left > 0; ) {
      const { snapshot, lower, upper, flags, values } = scan;
      const limit = Math.min(left, 256);
      const entries = unpack(this.run((engine) => engine.scan(snapshot, lower, upper, flags, limit, 1 << 20, values)));
      const last = entries[entries.length - 1];
      if (!last) return;
      yield* entries;
      left -= entries.length;
      scan = after(scan, last);
    }
  }
}

/** The state of one moment. Close it: the file keeps for it what has changed since. */
export class SyncSnapshot extends SyncReader {
  close(): void {
    this.run((engine) => engine.release(this.at));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A store of named blocks that this thread has to itself. */
export class SyncYard extends SyncReader {
  #engine: Engine | undefined;
  readonly #release: () => void;
  readonly #remove: () => Promise<void>;
  readonly #durability: Durability;

  /** @internal */
  constructor(engine: Engine, release: () => void, remove: () => Promise<void>, durability: Durability = "durable") {
    super((work) => {
      if (!this.#engine) throw new ClosedError("the yard was closed");
      try {
        return work(this.#engine);
      } catch (error) {
        throw wrap(error);
      }
    }, 0);
    this.#engine = engine;
    this.#release = release;
    this.#remove = remove;
    this.#durability = durability;
  }

  #durable = ({ durability = this.#durability }: WriteOptions) => durability === "durable";

  #change(options: WriteOptions, fill: (engine: Engine, batch: number) => void, staged?: Uint8Array): number {
    return this.run((engine) => {
      const batch = staged ? engine.stage(staged) : engine.begin();
      try {
        fill(engine, batch);
        return engine.commit(Uint32Array.of(batch), this.#durable(options));
      } finally {
        engine.release(batch);
      }
    });
  }

  put(name: Name, value: Value, options: PutOptions = {}): number {
    return this.#change(options, (engine, batch) => engine.put(batch, bytesOf(name), bytesOf(value), options.tag ?? 0));
  }

  putJSON(name: Name, value: unknown, options?: PutOptions): number {
    return this.put(name, JSON.stringify(value), options);
  }

  delete(name: Name, options: WriteOptions = {}): number {
    return this.#change(options, (engine, batch) => engine.delete(batch, bytesOf(name)));
  }

  /** Puts and deletions (undefined) that are made together. */
  batch(
    changes: Iterable<[name: Name, value: Value | undefined, options?: { tag?: number }]>,
    options: WriteOptions = {},
  ): number {
    const all = Array.from(changes, ([name, value, how]): Exclude<Change, { writer: number }> =>
      value === undefined ? { delete: name } : { put: name, value: bytesOf(value), tag: how?.tag },
    );
    const packed = pack(all);
    const each = (engine: Engine, batch: number) => {
      for (const change of packed ? [] : all) {
        if ("delete" in change) engine.delete(batch, bytesOf(change.delete));
        else engine.put(batch, bytesOf(change.put), change.value, change.tag ?? 0);
      }
    };
    return this.#change(options, each, packed);
  }

  /** Stores a block of any length whose bytes come in pieces; whole or not at all. */
  putPieces(name: Name, pieces: Iterable<Uint8Array>, options: PutOptions = {}): number {
    const writer = this.run((engine) => engine.beginWriter());
    try {
      for (const piece of pieces) this.run((engine) => engine.write(writer, piece, NONE));
      return this.#change(options, (engine, batch) => engine.finishWriter(writer, batch, bytesOf(name), options.tag ?? 0));
    } finally {
      if (this.#engine) this.run((engine) => engine.release(writer));
    }
  }

  rename(from: Name, to: Name, options: WriteOptions = {}): number {
    return this.run((engine) => engine.rename(bytesOf(from), bytesOf(to), this.#durable(options)));
  }

  /** Changes part of a block. The rest is copied inside the file, so this costs what a put of the block costs. */
  writeRange(name: Name, start: number, value: Value, options: WriteOptions = {}): number {
    return this.run((engine) => writeRange(engine, bytesOf(name), start, bytesOf(value), this.#durable(options)));
  }

  /** The state of now, for as long as it is held. */
  snapshot(): SyncSnapshot {
    return new SyncSnapshot(this.run, this.run((engine) => engine.snapshot()));
  }

  /** Makes buffered commits durable; nothing does so by itself here but `close`. */
  flush(): void {
    this.run((engine) => engine.sync());
  }

  stats(): Stats {
    return this.run((engine) => statsOf(engine.stats()));
  }

  /** Reads and compares every byte. */
  verify({ onProgress }: { onProgress?: (progress: VerifyProgress) => void } = {}): VerifyReport {
    const progress =
      onProgress &&
      ((blocks: number, bytes: number, totalBlocks: number, totalBytes: number) =>
        onProgress({ blocks, bytes, totalBlocks, totalBytes }));
    return this.run((engine) => verified(engine, progress));
  }

  /** The whole file, as the command line reads it. */
  exportBlob({ onProgress }: { onProgress?: (bytes: number, total: number) => void } = {}): Blob {
    return this.run((engine) => exported(engine, ([bytes, total]) => onProgress?.(bytes!, total!)));
  }

  close(): void {
    const engine = this.#engine;
    this.#engine = undefined;
    if (!engine) return;
    try {
      engine.settle();
    } catch (error) {
      throw wrap(error);
    } finally {
      engine.free();
      this.#release();
    }
  }

  /** Removes the file. */
  async destroy(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    if (!engine) return;
    engine.free();
    try {
      await this.#remove();
    } catch (error) {
      throw wrap(error);
    } finally {
      this.#release();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a yard for this worker alone; `LockedError` if another tab or worker has it and keeps it. */
export async function openSync(name: string, options: OpenOptions = {}): Promise<SyncYard> {
  const lacks = options.storage === "memory" ? undefined : missing();
  if (lacks) throw unsupported(lacks);
  await load(() => options.wasmUrl ?? new URL("./blockyard.wasm", import.meta.url));
  if (options.storage === "memory") return new SyncYard(attach(undefined, options), () => {}, async () => {}, options.durability);
  const held = await acquire(`blockyard/${name}`, options.lockTimeout ?? 5000);
  const files = opfs(name);
  let handle: Handle | undefined;
  try {
    const opened = (handle = await files.open());
    const release = () => {
      opened.close();
      held();
    };
    const remove = () => {
      opened.close();
      return files.remove();
    };
    return new SyncYard(attach(opened, options), release, remove, options.durability);
  } catch (error) {
    handle?.close();
    held();
    throw wrap(error);
  }
}

/** Takes a Web Lock; returns what lets it go. A lock that was let go just now takes a moment to be free. */
function acquire(name: string, limit: number): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const request = navigator.locks.request(name, { signal: AbortSignal.timeout(limit) }, () => {
      return new Promise<void>((release) => resolve(release));
    });
    request.catch(() => reject(new LockedError("another tab or worker has this yard")));
  });
}
