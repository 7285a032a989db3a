/** Who asks a host, and for what. */
import type { Commit } from "./codec.js";
import type { Requests } from "./requests.js";
import type { Changes } from "./types.js";

/** Somebody who asks. */
export interface Client {
  id: string;
  /** Hears of changes it has subscribed to; by the number 0 of those of names that it may keep. */
  changed(subscription: number, changes: Changes): void;
}

/**
 * Takes the answer to a request, or what was thrown. It is called, not awaited: a browser has run none of this often enough to
 * optimise it when the first puts arrive, and each promise on the way is time that a put waits.
 */
export type Answer = (value: unknown, error?: unknown) => void;

/** A commit that waits for its turn. */
export interface Queued {
  commit: Commit;
  answer: Answer;
  /** Its number in the engine, once it is staged. */
  batch: number;
}

/** What a client has of an engine. */
export interface Held {
  client: Client;
  numbers: Set<number>;
  subscriptions: Map<number, Uint8Array>;
  /** Names whose values it may keep. */
  kept: Set<string>;
}

/** What answers a request. */
export type Handler<R extends keyof Requests> = (
  argument: Requests[R][0],
  client: Client,
  progress?: (figures: number[]) => void,
) => Requests[R][1] | Promise<Requests[R][1]>;
