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

/** A commit that waits for its turn. */
export interface Queued extends Commit {
  resolve(sequence: number): void;
  reject(error: unknown): void;
}

/** What a client has of an engine. */
export interface Held {
  client: Client;
  numbers: Set<number>;
  subscriptions: Map<number, Uint8Array>;
  /** Names whose values it may keep. */
  kept: Set<string>;
}

/** What answers a request. `alone`: its page waits for nothing else. */
export type Handler<R extends keyof Requests> = (
  argument: Requests[R][0],
  client: Client,
  progress?: (figures: number[]) => void,
  alone?: boolean,
) => Requests[R][1] | Promise<Requests[R][1]>;
