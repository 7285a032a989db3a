// The floor: a handle, slots of fixed length, one write and one flush.
const SLOT = 4096;
let handle;
let root;
let file;
const slots = new Map();
let end = 0;

function place(key, value) {
  let slot = slots.get(key);
  if (slot === undefined) slots.set(key, (slot = { at: end, length: 0 })), (end += Math.ceil(value.length / SLOT) * SLOT);
  slot.length = value.length;
  handle.write(value, { at: slot.at });
}

const read = ({ at, length }) => {
  const bytes = new Uint8Array(length);
  handle.read(bytes, { at });
  return bytes;
};

const work = {
  async open(name) {
    root = await navigator.storage.getDirectory();
    file = `${name}.raw`;
    handle = await (await root.getFileHandle(file, { create: true })).createSyncAccessHandle();
    end = handle.getSize();
  },
  put([key, value]) {
    place(key, value);
    handle.flush();
  },
  batch(records) {
    for (const [key, value] of records) place(key, value);
    handle.flush();
  },
  get: (key) => read(slots.get(key)),
  scan: () => [...slots].reduce((sum, [key, slot]) => (key.startsWith("k/") ? sum + read(slot).length : sum), 0),
  async blob(blob) {
    let at = end;
    for await (const piece of blob.stream()) at += handle.write(piece, { at });
    handle.flush();
  },
  close: () => handle.close(),
  async destroy() {
    handle.close();
    await root.removeEntry(file);
  },
};

onmessage = async ({ data: { what, argument } }) => {
  try {
    const value = await work[what](argument);
    postMessage({ value }, value instanceof Uint8Array ? [value.buffer] : []);
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
