/** What is asked of whoever has the file; it travels between threads and tabs. */
import type { Commit, Scan } from "./codec.js";
import type { Name, VerifyReport } from "./types.js";

/** Requests by name, with what they take and give. */
export interface Requests {
  open: [undefined, void];
  /** `keeps`: the page may keep the value, until it is told of a change; the name is well-formed text. */
  get: [{ snapshot: number; name: Name; start: number; end: number; keeps?: boolean }, Uint8Array | undefined];
  metadata: [{ snapshot: number; name: Name }, Uint8Array];
  scan: [Scan, Uint8Array];
  commit: [Commit, number];
  rename: [{ from: Name; to: Name; durable: boolean }, number];
  snapshot: [undefined, number];
  writer: [undefined, number];
  write: [{ writer: number; bytes: Uint8Array; digest?: Uint8Array }, void];
  /** Writes all of a blob. */
  fill: [{ writer: number; blob: Blob }, void];
  writeRange: [{ name: Name; start: number; value: Uint8Array; durable: boolean }, number];
  release: [number, void];
  flush: [undefined, void];
  stats: [undefined, Float64Array];
  verify: [undefined, VerifyReport];
  export: [undefined, Blob];
  import: [Blob, void];
  vacuum: [undefined, void];
  destroy: [undefined, void];
  subscribe: [{ id: number; prefix: Name }, void];
  unsubscribe: [number, void];
}
