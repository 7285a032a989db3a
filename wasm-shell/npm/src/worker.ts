/** The dedicated worker of a page: opens the yard, or reaches the tab that has it. */
import type { Answer, Client } from "./clients.js";
import type { Commit } from "./codec.js";
import { load } from "./engine.js";
import { wire, type WireError } from "./errors.js";
import { Host } from "./host.js";
import { Member } from "./member.js";
import { missing, opfs, unsupported } from "./opfs.js";
import type { Requests } from "./requests.js";
import type { Changes, EngineOptions } from "./types.js";

/** From the page. */
export type ToWorker =
  | { kind: "init"; name: string; options: EngineOptions; wasmUrl: string | undefined }
  | { kind: "request"; id: number; request: keyof Requests; argument: unknown; progress: boolean; alone: boolean }
  | { kind: "leave" }
  | { kind: "join" }
  | { kind: "close" };

/** To the page. */
export type FromWorker =
  | { kind: "answer"; id: number; value?: unknown; error?: WireError; spare?: ArrayBuffer | undefined }
  | { kind: "progress"; id: number; figures: number[] }
  | { kind: "changed"; subscription: number; changes: Changes }
  | { kind: "blocked" }
  | { kind: "destroyed" }
  | { kind: "closed"; error?: WireError };

interface Backend {
  request(
    request: keyof Requests, argument: unknown, answer: Answer, progress?: (figures: number[]) => void, alone?: boolean,
  ): void;
  leave?(quick: boolean): Promise<void>;
  join?(): Promise<void>;
  close(): void | Promise<void>;
}

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
};

const post = (message: FromWorker, transfer: Transferable[] = []) => scope.postMessage(message, transfer);

let backend: Promise<Backend> | undefined;
/** The same once it is there. */
let ready: Backend | undefined;

async function start({ name, options, wasmUrl }: ToWorker & { kind: "init" }): Promise<Backend> {
  const loading = load(() => wasmUrl ?? new URL("./blockyard.wasm", import.meta.url));
  const page = {
    changed: (subscription: number, changes: Changes) => post({ kind: "changed", subscription, changes }),
    blocked: () => post({ kind: "blocked" }),
    // Behind the answer to whoever asked for it, which is on its way.
    destroyed: () => void setTimeout(() => post({ kind: "destroyed" })),
  };
  if (options.storage === "memory") {
    await loading;
    const host = new Host(undefined, options);
    const client: Client = { id: "page", changed: page.changed };
    return {
      request: (request, argument, ...how) => host.handle(client, request, argument as never, ...how),
      close: () => host.close(),
    };
  }
  const lacks = missing();
  if (lacks) throw unsupported(lacks);
  await loading;
  return new Member(name, opfs(name), options, page);
}

/** Longer buffers of packed changes do not go back. */
const SPARE = 4 << 20;

/** The buffers of an answer, to be handed over. */
function transfers(value: unknown): Transferable[] {
  return value instanceof Uint8Array || value instanceof Float64Array ? [value.buffer as ArrayBuffer] : [];
}

function ask({ id, request, argument, progress, alone }: ToWorker & { kind: "request" }): void {
  const tell = progress ? (figures: number[]) => post({ kind: "progress", id, figures }) : undefined;
  const answer: Answer = (value, error) => {
    if (error) return post({ kind: "answer", id, error: wire(error) });
    const { changes } = (argument ?? {}) as Partial<Commit>;
    const spare = changes instanceof Uint8Array && changes.length < SPARE ? (changes.buffer as ArrayBuffer) : undefined;
    post({ kind: "answer", id, value, spare }, spare ? [spare] : transfers(value));
  };
  if (ready) ready.request(request, argument, answer, tell, alone);
  else backend!.then((it) => it.request(request, argument, answer, tell, alone), (error: unknown) => answer(undefined, error));
}

scope.onmessage = ({ data }) => {
  switch (data.kind) {
    case "init":
      backend = start(data);
      // Whoever asks first is told.
      backend.then((it) => (ready = it), () => {});
      return;
    case "request":
      return ask(data);
    case "leave":
      return void backend?.then((it) => it.leave?.(true)).catch(() => {});
    case "join":
      return void backend?.then((it) => it.join?.()).catch(() => {});
    case "close":
      return void (backend ?? Promise.reject<Backend>()).then((it) => it.close()).then(
        () => post({ kind: "closed" }),
        (error: unknown) => post({ kind: "closed", error: wire(error) }),
      );
  }
};
