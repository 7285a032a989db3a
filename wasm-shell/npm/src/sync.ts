/** A yard inside a worker, without promises: every call is over when it returns. */
import { after, bytesOf, copyOf, keyOf, pack, scanOf, statsOf, textOf, unpack, type Change } from "./codec.js";
import { attach, drop, exported, isDead, load, NONE, PIECE, verified, writeRange, type Engine, type Files, type Handle } from "./engine.js";
import { AbortedError, ClosedError, InvalidError, LockedError, wrap } from "./errors.js";
import { missing, opfs, unsupported } from "./opfs.js";
import { condense, prepare, takeIn } from "./replace.js";
import type {
  Durability, EngineOptions, Entry, ListOptions, Metadata, Name, OpenOptions, PutOptions, Stats, Value, VerifyProgress, VerifyReport,
  WriteOptions,
} from "./types.js";

export * from "./errors.js";
export type * from "./types.js";

/** Blocks as text and as JSON. */
abstract class Decoded {
  /** A block's bytes; undefined if it does not exist. */
  abstract get(name: Name): Uint8Array | undefined;

  getText(name: Name): string | undefined {
    const bytes = this.get(name);
    return bytes && textOf(bytes);
  }

  getJSON<T = unknown>(name: Name): T | undefined {
    const text = this.getText(name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }
}

/** What can be read, of now or of a snapshot. */
export class SyncReader extends Decoded {
  /** @internal */
  protected readonly run: <T>(work: (engine: Engine) => T) => T;
  /** @internal */
  protected readonly at: number;

  /** @internal */
  constructor(run: <T>(work: (engine: Engine) => T) => T, at: number) {
    super();
    this.run = run;
    this.at = at;
  }

  get(name: Name): Uint8Array | undefined {
    return this.readRange(name, 0);
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

/** What a transaction reads, and the changes it makes; it sees its own. */
export class SyncTransaction extends Decoded {
  readonly #reader: SyncReader;
  /** @internal Changes by name; undefined is a deletion. */
  readonly changed = new Map<string, [name: Name, value: Uint8Array | undefined, options?: { tag?: number }]>();

  /** @internal */
  constructor(reader: SyncReader) {
    super();
    this.#reader = reader;
  }

  get(name: Name): Uint8Array | undefined {
    const changed = this.changed.get(keyOf(name));
    return changed ? changed[1]?.slice() : this.#reader.get(name);
  }

  has(name: Name): boolean {
    const changed = this.changed.get(keyOf(name));
    return changed ? changed[1] !== undefined : this.#reader.has(name);
  }

  put(name: Name, value: Value, options: { tag?: number } = {}): void {
    this.changed.set(keyOf(name), [name, copyOf(bytesOf(value)), options]);
  }

  putJSON(name: Name, value: unknown): void {
    this.put(name, JSON.stringify(value));
  }

  delete(name: Name): void {
    this.changed.set(keyOf(name), [name, undefined]);
  }
}

/** Where a yard is: its files, or nowhere but in memory. */
interface Place {
  options: EngineOptions;
  files?: Files;
  handle?: Handle | undefined;
  /** Lets others have it. */
  release?: () => void;
}

/** A store of named blocks that this thread has to itself. */
export class SyncYard extends SyncReader {
  #engine: Engine | undefined;
  readonly #place: Place;
  readonly #durability: Durability;
  /** While another file takes this one's place. */
  #replacing = false;
  /** While the engine is at work: a listener cannot ask it. */
  #busy = false;
  /** The engine is gone, and the file can be opened anew, from what the device has. */
  #lost = false;

  /** @internal */
  constructor(engine: Engine, place: Place, durability: Durability = "durable") {
    super((work) => {
      const engine = this.#live();
      this.#busy = true;
      try {
        return work(engine);
      } catch (error) {
        this.#recover(engine);
        throw wrap(error);
      } finally {
        this.#busy = false;
      }
    }, 0);
    this.#engine = engine;
    this.#place = place;
    this.#durability = durability;
  }

  #live(): Engine {
    if (this.#replacing) throw new ClosedError("the file is being replaced: wait until that is done");
    if (this.#busy) throw new InvalidError("a listener of a call cannot make another before that is over");
    if (this.#lost) {
      try {
        this.#engine = attach(this.#place.handle, this.#place.options);
      } catch (error) {
        throw wrap(error);
      }
      this.#lost = false;
    }
    if (!this.#engine) throw new ClosedError("the yard was closed");
    return this.#engine;
  }

  /** After a failed write or a trap in the module, after which nothing could be done, the next call opens the file anew. */
  #recover(engine: Engine): void {
    if (!isDead(engine)) return;
    this.#engine = undefined;
    drop(engine);
    this.#lost = !!this.#place.handle;
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

  /**
   * Lets `work` read and change blocks; what it changes is committed when it returns, and forgotten if it throws.
   * Nobody else can come between, so nothing is tried twice.
   */
  transaction<T>(work: (transaction: SyncTransaction) => T, options: WriteOptions = {}): T {
    const transaction = new SyncTransaction(this);
    const result = work(transaction);
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new InvalidError("a transaction of this API is over when its function returns: it cannot wait");
    }
    if (transaction.changed.size > 0) this.batch(transaction.changed.values(), options);
    return result;
  }

  /**
   * Writes all blocks into a new file without free pages, which then takes the place of this one. Browsers replace
   * files in their own time: until it resolves every other call throws, and snapshots from before are gone.
   */
  vacuum({ onProgress }: { onProgress?: (bytes: number) => void } = {}): Promise<void> {
    return this.#replace((old, spare) => condense(old, spare, this.#place.options, ([bytes]) => onProgress?.(bytes!)));
  }

  /** Replaces everything by another file, after every byte of that was verified; see `vacuum` for what to wait for. */
  importBlob(file: Blob, { onProgress }: { onProgress?: (bytes: number, total: number) => void } = {}): Promise<void> {
    return this.#replace((_, spare) =>
      takeIn(spare, file, this.#place.options, ([bytes, total]) => onProgress?.(bytes!, total!)),
    );
  }

  async #replace(fill: (old: Engine, spare: Handle) => Promise<void>): Promise<void> {
    const [old, { files }] = [this.#live(), this.#place];
    if (!files) throw new AbortedError("a yard in memory has no file to replace");
    this.flush();
    this.#replacing = true;
    try {
      await prepare(files, (spare) => fill(old, spare));
      this.#engine = undefined;
      drop(old);
      this.#place.handle?.close();
      try {
        await files.replace();
      } finally {
        this.#place.handle = await files.open();
        this.#engine = attach(this.#place.handle, this.#place.options);
      }
    } catch (error) {
      throw wrap(error);
    } finally {
      this.#replacing = false;
      // It could not be opened again.
      if (!this.#engine) this.#letGo();
    }
  }

  #letGo(): void {
    this.#place.handle?.close();
    this.#place.release?.();
  }

  close(): void {
    const { is, engine } = this.#end();
    if (!is) return;
    try {
      engine?.settle();
    } catch (error) {
      throw wrap(error);
    } finally {
      drop(engine);
      this.#letGo();
    }
  }

  /** Removes the file. */
  async destroy(): Promise<void> {
    const { is, engine } = this.#end();
    if (!is) return;
    drop(engine);
    try {
      this.#place.handle?.close();
      await this.#place.files?.remove();
    } catch (error) {
      throw wrap(error);
    } finally {
      this.#place.release?.();
    }
  }

  /** Whether it was open until now, and with what. */
  #end(): { is: boolean; engine: Engine | undefined } {
    if (this.#replacing || this.#busy) this.#live();
    const ended = { is: this.#lost || !!this.#engine, engine: this.#engine };
    this.#engine = undefined;
    this.#lost = false;
    return ended;
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
  if (options.storage === "memory") return new SyncYard(attach(undefined, options), { options }, options.durability);
  const release = await acquire(`blockyard/${name}`, options.lockTimeout ?? 5000);
  const files = opfs(name);
  let handle: Handle | undefined;
  try {
    handle = await files.open();
    return new SyncYard(attach(handle, options), { options, files, handle, release }, options.durability);
  } catch (error) {
    handle?.close();
    release();
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
