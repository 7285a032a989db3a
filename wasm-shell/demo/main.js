// The demo: files are dropped in and kept as blocks of one file.
import { open } from "blockyard";

const at = (id) => document.getElementById(id);
const size = (bytes) => {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < 3; unit++) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
};

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
}

/** Does something with a progress bar, and says what became of it. */
async function during(what, work) {
  at("doing").textContent = what;
  at("progress").removeAttribute("value");
  at("work").hidden = false;
  const focused = document.activeElement;
  const buttons = [...document.querySelectorAll(".actions button")];
  for (const button of buttons) button.disabled = true;
  try {
    say((await work((done, total) => total > 0 && (at("progress").value = done / total))) ?? "");
  } catch (error) {
    say(`${error.name ?? "Error"}: ${error.message}`, true);
  } finally {
    at("work").hidden = true;
    for (const button of buttons) button.disabled = false;
    // A button that is disabled loses the focus.
    if (focused.isConnected && document.activeElement === document.body) focused.focus();
    await show().catch((error) => say(error.message, true));
  }
}

const yard = await open("demo", { onBlocked: () => say("Another page has the file; waiting for it.") }).catch((error) => {
  say(`${error.name}: ${error.message}`, true);
  at("role").textContent = "Not open";
  throw error;
});

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function button(text, label, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function row({ name, length, digest, chunks }) {
  const item = document.createElement("li");
  const part = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
  const code = part("code", "", chunks > 1 ? `${chunks} chunks · ${digest}` : digest);
  code.title = "SHA-256";
  const buttons = part("div", "buttons", "");
  buttons.append(
    button("Save", `Save ${name}`, () =>
      during(`Reading ${name}`, async (progress) => {
        const stream = await yard.getStream(name, { onProgress: (done) => progress(done, length) });
        save(await new Response(stream).blob(), name);
      }),
    ),
    button("Delete", `Delete ${name}`, () => during(`Deleting ${name}`, () => yard.delete(name).then(() => `${name} is gone.`))),
  );
  item.append(part("span", "name", name), part("span", "size", size(length)), code, buttons);
  return item;
}

/** The zones of the file; how the blocks lie among each other is not told. */
function picture(stats) {
  const used = stats.fileBytes - stats.dataOffset - stats.freeBytes - stats.registryBytes;
  const zones = [
    ["superblock", stats.journalOffset],
    ["journal", stats.journalBytes],
    ["registry", stats.registryBytes],
    ["blocks", Math.max(0, used)],
    ["free", stats.freeBytes],
  ];
  const layout = at("layout");
  layout.setAttribute("viewBox", `0 0 ${stats.fileBytes} 1`);
  let x = 0;
  layout.replaceChildren(
    ...zones.map(([zone, bytes]) => {
      // What is there can be seen.
      const width = Math.max(bytes, bytes > 0 ? stats.fileBytes / 200 : 0);
      const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      part.setAttribute("class", zone);
      part.setAttribute("x", x);
      part.setAttribute("width", width);
      part.setAttribute("height", 1);
      x += width;
      return part;
    }),
  );
  at("layout-words").textContent = `${size(stats.fileBytes)}: ${zones.map(([zone, bytes]) => `${zone === "superblock" ? "superblocks" : zone} ${size(bytes)}`).join(", ")}.`;
}

function figures(stats, { usage, quota }) {
  const told = {
    "commit": stats.sequence,
    "durable up to": stats.durableSequence,
    "flushes": stats.syncs,
    "checkpoints": stats.checkpoints,
    "pending": stats.pending,
    "of the quota": quota ? `${((usage / quota) * 100).toFixed(2)} %` : "?",
  };
  at("figures").replaceChildren(
    ...Object.entries(told).map(([term, value]) => {
      const group = document.createElement("div");
      group.append(Object.assign(document.createElement("dt"), { textContent: term }), Object.assign(document.createElement("dd"), { textContent: value }));
      return group;
    }),
  );
}

/** New rows for old; who works by keyboard stays where they were, or at the row that took the place. */
function replace(list, rows) {
  const buttons = () => [...list.querySelectorAll("button")];
  const { activeElement } = document;
  const before = buttons().indexOf(activeElement);
  list.replaceChildren(...rows);
  if (before < 0) return;
  const now = buttons();
  const same = now.find((button) => button.ariaLabel === activeElement.ariaLabel);
  (same ?? now[before] ?? now.at(-1) ?? at("pick")).focus();
}

async function show() {
  const rows = [];
  for await (const entry of yard.list()) rows.push(row(entry));
  replace(at("files"), rows);
  at("count").textContent = rows.length ? `(${rows.length})` : "";
  const stats = await yard.stats();
  picture(stats);
  figures(stats, await yard.estimate());
  at("role").textContent = "Open, in every tab of this page";
}

async function keep(files) {
  await during(`Keeping ${files.length} file${files.length === 1 ? "" : "s"}`, async (progress) => {
    const total = files.reduce((sum, file) => sum + file.size, 0);
    let before = 0;
    for (const file of files) {
      await yard.putStream(file.name, file, { onProgress: (done) => progress(before + done, total) });
      before += file.size;
    }
    return `${files.length} file${files.length === 1 ? " is" : "s are"} kept, ${size(total)}. Durable.`;
  });
}

const drop = at("drop");
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());
drop.addEventListener("dragenter", () => drop.classList.add("over"));
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) keep([...event.dataTransfer.files]);
});
at("pick").addEventListener("change", async ({ target }) => {
  await keep([...target.files]);
  target.value = "";
});
at("verify").addEventListener("click", () =>
  during("Verifying every byte", async (progress) => {
    const report = await yard.verify({ onProgress: ({ bytes, totalBytes }) => progress(bytes, totalBytes) });
    if (report.problemCount > 0) throw new Error(`${report.problemCount} problems: ${report.problems[0].message}`);
    return `${report.blocks} files, ${size(report.bytes)}: every byte is what was written.`;
  }),
);
at("export").addEventListener("click", () =>
  during("Exporting", async (progress) => {
    save(await yard.exportBlob({ onProgress: progress }), "blockyard.by");
    return "Exported as blockyard.by.";
  }),
);
at("import").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (file && confirm("Replace everything that is kept here by this file?")) {
    await during(`Importing ${file.name}`, (progress) => yard.importBlob(file, { onProgress: progress }).then(() => `${file.name} is here.`));
  }
  target.value = "";
});
at("vacuum").addEventListener("click", () =>
  during("Writing everything anew", async () => {
    const before = (await yard.stats()).fileBytes;
    await yard.vacuum();
    return `${size(before)} before, ${size((await yard.stats()).fileBytes)} now.`;
  }),
);
at("destroy").addEventListener("click", () => {
  if (!confirm("Delete every file that is kept here?")) return;
  during("Deleting everything", async () => {
    const batch = yard.batch();
    for await (const { nameBytes } of yard.list()) batch.delete(nameBytes);
    await batch.commit();
    return "Everything is gone.";
  });
});

// Another tab's commits, a moment after the last of them.
let soon;
await yard.subscribe("", () => {
  clearTimeout(soon);
  soon = setTimeout(() => show().catch((error) => say(error.message, true)), 100);
});
await show();
document.body.dataset.ready = "true";
