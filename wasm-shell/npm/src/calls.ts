/** Calls that can be given up, and that tell how far they are. */
import { AbortedError } from "./errors.js";

export interface Signalled {
  signal?: AbortSignal;
}

/** Rejects when the signal says so; what was sent is carried out nevertheless. */
export function within<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (!signal) return work();
  const aborted = () => new AbortedError("given up by its signal");
  if (signal.aborted) return Promise.reject(aborted());
  return new Promise((resolve, reject) => {
    const abort = () => reject(aborted());
    signal.addEventListener("abort", abort, { once: true });
    work().then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Lets a listener hear of progress as figures. */
export const telling = (listener: ((bytes: number, total: number) => void) | undefined) =>
  listener && (([bytes, total]: number[]) => listener(bytes!, total!));
