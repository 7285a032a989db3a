/** A yard inside a worker, without promises: every call is over when it returns. */
import { after, bytesOf, scanOf, statsOf, textOf, unpack } from "./codec.js";
import { attach, load, type Engine, type Files, type Handle } from "./engine.js";
import { ClosedError, LockedError, wrap } from "./errors.js";
import { missing, opfs, unsupported } from "./opfs.js";
import type { Durability, Entry, ListOptions, Metadata, Name, OpenOptions, PutOptions, Stats, Value, WriteOptions } from "./types.js";

export * from "./errors.js";
export type * from "./types.js";

/** A store of named blocks that this thread has to itself. */
export class SyncYard {
  #engine: Engine | undefined;
  readonly #release: () => void;
  readonly #durability: Durability;

  /** @internal */
  constructor(engine: Engine, release: () => void, durability: Durability = "durable") {
    this.#engine = engine;
    this.#release = release;
    this.#durability = durability;
  }

  #do<T>(work: (engine: Engine) => T): T {
    if (!this.#engine) throw new ClosedError("the yard was closed");
    try {
      return work(this.#engine);
    } catch (error) {
      throw wrap(error);
    }
  }

  #change(options: WriteOptions, fill: (engine: Engine, batch: number) => void): number {
    return this.#do((engine) => {
      const batch = engine.begin();
      try {
        fill(engine, batch);
        return engine.commit(Uint32Array.of(batch), (options.durability ?? this.#durability) === "durable");
      } finally {
        engine.release(batch);
      }
    });
  }

  get(name: Name, start = 0, end = Number.MAX_SAFE_INTEGER): Uint8Array | undefined {
    return this.#do((engine) => engine.get(0, bytesOf(name), start, end));
  }

  getText(name: Name): string | undefined {
    const bytes = this.get(name);
    return bytes && textOf(bytes);
  }

  has(name: Name): boolean {
    return this.metadata(name) !== undefined;
  }

  metadata(name: Name): Metadata | undefined {
    return this.#do((engine) => unpack(engine.metadata(0, bytesOf(name)))[0]);
  }

  *list(options: ListOptions = {}): Generator<Entry, void, undefined> {
    let scan = scanOf(0, options);
    for (let left = options.limit ?? Infinity; left > 0; ) {
      const { lower, upper, flags, values } = scan;
      const limit = Math.min(left, 256);
      const entries = unpack(this.#do((engine) => engine.scan(0, lower, upper, flags, limit, 1 << 20, values)));
      const last = entries[entries.length - 1];
      if (!last) return;
      yield* entries;
      left -= entries.length;
      scan = after(scan, last);
    }
  }

  put(name: Name, value: Value, options: PutOptions = {}): number {
    return this.#change(options, (engine, batch) => engine.put(batch, bytesOf(name), bytesOf(value), options.tag ?? 0));
  }

  delete(name: Name, options: WriteOptions = {}): number {
    return this.#change(options, (engine, batch) => engine.delete(batch, bytesOf(name)));
  }

  /** Puts and deletions (undefined) that are made together. */
  batch(changes: Iterable<[Name, Value | undefined]>, options: WriteOptions = {}): number {
    return this.#change(options, (engine, batch) => {
      for (const [name, value] of changes) {
        if (value === undefined) engine.delete(batch, bytesOf(name));
        else engine.put(batch, bytesOf(name), bytesOf(value), 0);
      }
    });
  }

  rename(from: Name, to: Name, options: WriteOptions = {}): number {
    const durable = (options.durability ?? this.#durability) === "durable";
    return this.#do((engine) => engine.rename(bytesOf(from), bytesOf(to), durable));
  }

  /** Makes buffered commits durable; nothing does so by itself here but `close`. */
  flush(): void {
    this.#do((engine) => engine.sync());
  }

  stats(): Stats {
    return this.#do((engine) => statsOf(engine.stats()));
  }

  /** Whether every byte is what was written. */
  verify(): boolean {
    return this.#do((engine) => (engine.verify(undefined) as number[])[4] === 0);
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

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a yard for this worker alone; `LockedError` if another tab or worker has it and keeps it. */
export async function openSync(name: string, options: OpenOptions = {}): Promise<SyncYard> {
  const lacks = options.storage === "memory" ? undefined : missing();
  if (lacks) throw unsupported(lacks);
  await load(() => options.wasmUrl ?? new URL("./blockyard.wasm", import.meta.url));
  if (options.storage === "memory") return new SyncYard(attach(undefined, options), () => {}, options.durability);
  const held = await acquire(`blockyard/${name}`, options.lockTimeout ?? 5000);
  let handle: Handle | undefined;
  try {
    const files: Files = opfs(name);
    const opened = (handle = await files.open());
    const release = () => {
      opened.close();
      held();
    };
    return new SyncYard(attach(opened, options), release, options.durability);
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
