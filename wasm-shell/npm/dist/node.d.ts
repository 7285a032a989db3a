import type { OpenOptions } from "./types.js";
import { Yard } from "./yard.js";
export * from "./errors.js";
export type * from "./types.js";
export { Batch, Reader, Snapshot, Transaction, Yard, type StreamOptions } from "./yard.js";
/** Opens the file at `path`, or creates it. It is the process's own until it is closed. */
export declare function open(path: string, options?: OpenOptions): Promise<Yard>;
