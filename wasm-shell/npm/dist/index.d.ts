import type { OpenOptions } from "./types.js";
import { Yard } from "./yard.js";
export * from "./errors.js";
export type * from "./types.js";
export { Batch, Reader, Snapshot, Transaction, Yard, type StreamOptions } from "./yard.js";
/** Opens the yard `name` of this origin, or creates it. Every tab may do so. */
export declare function open(name: string, options?: OpenOptions): Promise<Yard>;
