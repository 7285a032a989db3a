/** Files of the origin's private file system. */
import type { Files, Handle } from "./engine.js";
import { UnsupportedError } from "./errors.js";

const DIRECTORY = "blockyard";

interface Movable extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<Handle>;
  move(name: string): Promise<void>;
}

/** What this context lacks to keep a file, if it lacks something. */
export function missing(): string | undefined {
  const scope = globalThis as { isSecureContext?: boolean; FileSystemFileHandle?: { prototype: object } };
  if (scope.isSecureContext === false) return "it is no secure context: serve the page over https or from localhost";
  if (!navigator.storage?.getDirectory) {
    return "it has no private file system: use a newer browser, or leave private browsing";
  }
  if (!("createSyncAccessHandle" in (scope.FileSystemFileHandle?.prototype ?? {}))) {
    return "it has no synchronous file access: use a newer browser (Chrome 108, Firefox 111, Safari 16.4)";
  }
  if (!navigator.locks) return "it has no Web Locks: use a newer browser";
  return undefined;
}

export function unsupported(what: string): UnsupportedError {
  return new UnsupportedError(`this browser cannot keep a yard: ${what}; or open it with { storage: "memory" }`);
}

/** The files of a yard by its name. */
export function opfs(name: string): Files {
  // Slashes and dots mean something to file systems.
  const base = encodeURIComponent(name).replaceAll(".", "%2E");
  const [file, spare, ready] = [`${base}.by`, `${base}.new`, `${base}.ready`];
  const directory = async () => {
    const root = await navigator.storage.getDirectory();
    return root.getDirectoryHandle(DIRECTORY, { create: true });
  };
  const found = async (folder: FileSystemDirectoryHandle, name: string, create = false) =>
    (await folder.getFileHandle(name, { create })) as Movable;
  const drop = async (folder: FileSystemDirectoryHandle, name: string) => {
    try {
      await folder.removeEntry(name);
    } catch (error) {
      if ((error as Error).name !== "NotFoundError") throw error;
    }
  };
  /** A spare file that was made ready takes the place, however often this is cut short. */
  const settle = async (folder: FileSystemDirectoryHandle) => {
    let prepared: Movable;
    try {
      prepared = await found(folder, ready);
    } catch (error) {
      if ((error as Error).name === "NotFoundError") return;
      throw error;
    }
    await drop(folder, file);
    await prepared.move(file);
  };
  return {
    async open() {
      const folder = await directory();
      await settle(folder);
      // What a vacuum that was cut short has left takes its part of the quota.
      await drop(folder, spare).catch(() => {});
      return (await found(folder, file, true)).createSyncAccessHandle();
    },
    async spare() {
      const folder = await directory();
      await drop(folder, spare);
      return (await found(folder, spare, true)).createSyncAccessHandle();
    },
    async discard() {
      await drop(await directory(), spare);
    },
    async replace() {
      const folder = await directory();
      await (await found(folder, spare)).move(ready);
      await settle(folder);
    },
    async remove() {
      const folder = await directory();
      for (const name of [ready, spare, file]) await drop(folder, name);
    },
  };
}
