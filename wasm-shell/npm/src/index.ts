/** Blockyard in a browser. Importing this touches nothing of the browser. */
import { within } from "./calls.js";
import { ClosedError, LockedError, UnsupportedError, make, wrap } from "./errors.js";
import type { OpenOptions } from "./types.js";
import type { FromWorker, ToWorker } from "./worker.js";
import { Yard, type Transport } from "./yard.js";

export * from "./errors.js";
export type * from "./types.js";
export { Batch, Reader, Snapshot, Transaction, Yard, type StreamOptions } from "./yard.js";

interface Waiting {
  resolve(value: never): void;
  reject(error: unknown): void;
  progress: ((figures: number[]) => void) | undefined;
}

/** Requests to a page's own worker, and the page's coming and going. */
class WorkerTransport implements Transport {
  changed?: Transport["changed"] & {};
  spare?: ArrayBuffer;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #stop = new AbortController();
  #next = 1;
  #ended: Error | undefined;
  #closing: ((error?: unknown) => void) | undefined;

  constructor(worker: Worker, onBlocked: (() => void) | undefined) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#heard(data, onBlocked);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#end(new UnsupportedError(`the worker did not start: ${event.message || "is workerUrl right?"}`));
    };
    const { signal } = this.#stop;
    // A page that may be frozen or kept for going back must not keep the file from the others.
    const on = (target: EventTarget | undefined, event: string, kind: "leave" | "join") =>
      target?.addEventListener?.(event, () => {
        // It hears of nothing meanwhile.
        this.changed?.(0, null);
        this.post({ kind });
      }, { signal });
    on(globalThis, "pagehide", "leave");
    on(globalThis, "pageshow", "join");
    on(globalThis.document, "freeze", "leave");
    on(globalThis.document, "resume", "join");
  }

  post(message: ToWorker, transfer?: Transferable[]): void {
    this.#worker.postMessage(message, transfer!);
  }

  #heard(message: FromWorker, onBlocked: (() => void) | undefined): void {
    switch (message.kind) {
      case "answer": {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.spare) this.spare = message.spare;
        if (message.error) waiting?.reject(make(message.error));
        else waiting?.resolve(message.value as never);
        return;
      }
      case "progress":
        return this.#waiting.get(message.id)?.progress?.(message.figures);
      case "changed":
        return this.changed?.(message.subscription, message.changes);
      case "blocked":
        return onBlocked?.();
      case "destroyed":
        // What waits was answered before.
        return this.#end(new ClosedError("the yard was destroyed"));
      case "closed":
        return this.#closing?.(message.error);
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.changed?.(0, null);
    this.#closing?.();
    this.#stop.abort();
    this.#worker.terminate();
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }

  request: Transport["request"] = (request, argument, progress, transfer) => {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      // Then there is no other commit to wait for.
      const alone = this.#waiting.size === 0;
      this.#waiting.set(id, { resolve, reject, progress });
      try {
        this.post({ kind: "request", id, request, argument, progress: !!progress, alone }, transfer);
      } catch (error) {
        this.#waiting.delete(id);
        reject(wrap(error));
      }
    });
  };

  async close(): Promise<void> {
    if (this.#ended) return;
    const closed = new Promise<void>((resolve, reject) => {
      this.#closing = (error) => (error ? reject(make(error as never)) : resolve());
    });
    this.post({ kind: "close" });
    this.#ended = new ClosedError("the yard was closed");
    // A browser may never come back from closing a file that was taken away.
    const late = setTimeout(() => this.#closing?.({ code: "Io", message: "the file did not close; its worker was ended" }), CLOSE);
    await closed.finally(() => {
      clearTimeout(late);
      this.#end(this.#ended!);
    });
  }

  /** Gives up without another word to the worker. */
  kill(error: Error): void {
    this.#end(error);
  }
}

const BLOCKED = 500;
const CLOSE = 5000;

/** Opens the yard `name` of this origin, or creates it. Every tab may do so. */
export async function open(name: string, options: OpenOptions = {}): Promise<Yard> {
  const { durability, onBlocked, wasmUrl, workerUrl, signal, cache = 2 << 20 } = options;
  // What the worker knows, and nothing else: it could be what cannot be sent.
  const { lockTimeout = 5000, storage, pageSize, journalSize, chunkSize, growth, cacheSize } = options;
  if (typeof Worker === "undefined") {
    throw new UnsupportedError("there are no workers here: open the yard in a browser's page or worker, or under Node");
  }
  // Bundlers look for exactly these words.
  const worker = workerUrl
    ? new Worker(workerUrl, { type: "module" })
    : new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const transport = new WorkerTransport(worker, onBlocked);
  const base = globalThis.location?.href;
  transport.post({
    kind: "init",
    name,
    options: { lockTimeout, storage, pageSize, journalSize, chunkSize, growth, cacheSize },
    wasmUrl: wasmUrl === undefined ? undefined : String(new URL(wasmUrl, base)),
  });
  let blocked: ReturnType<typeof setTimeout> | undefined;
  let given: ReturnType<typeof setTimeout> | undefined;
  try {
    blocked = setTimeout(() => onBlocked?.(), BLOCKED);
    await within(signal, () =>
      Promise.race([
        transport.request("open", undefined),
        new Promise<never>((_, reject) => {
          const late = () => reject(new LockedError("the tab that has this file does not answer; close it and try again"));
          given = setTimeout(late, lockTimeout + 2000);
        }),
      ]),
    );
  } catch (error) {
    const wrapped = wrap(error);
    transport.kill(wrapped);
    throw wrapped;
  } finally {
    clearTimeout(blocked);
    clearTimeout(given);
  }
  return new Yard(transport, name, durability, cache);
}
