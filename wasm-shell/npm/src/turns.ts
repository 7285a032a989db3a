/** When a worker does what it has to do. */

/** Runs something when the messages that have arrived by now are read. */
export function soon(): (work: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => void };
  if (setImmediate) return setImmediate;
  const { port1, port2 } = new MessageChannel();
  let next = () => {};
  port1.onmessage = () => next();
  return (work) => {
    next = work;
    port2.postMessage(0);
  };
}

/** A timer keeps no Node process alive. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
