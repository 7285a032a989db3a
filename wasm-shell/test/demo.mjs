// The demo, used as a person does. With SCREENS, pictures of it go to that folder.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { equal, ok } from "./tally.mjs";

const READY = "document.body.dataset.ready";
const SIZES = { phone: { width: 390, height: 844, deviceScaleFactor: 2 }, desktop: { width: 1200, height: 900 } };

/** Which scheme a person prefers, Firefox is told by a preference of its profile; so it makes one at a time. */
export const DARK = { "layout.css.prefers-color-scheme.content-override": 0 };

export async function demo({ name, openPage, work, schemes = name === "firefox" ? ["light"] : ["light", "dark"] }) {
  const folder = join(work, `demo-${name}`);
  mkdirSync(folder, { recursive: true });
  const files = [["a letter.txt", 4200], ["photo of the harbour, summer.jpg", 2_400_000], ["notes.md", 90]];
  for (const [file, length] of files) writeFileSync(join(folder, file), Buffer.alloc(length, file));
  const page = await openPage("/demo/", READY);
  const message = (text) =>
    page.waitForFunction((text) => document.getElementById("message").textContent.includes(text), { polling: 50 }, text);
  const input = await page.$("#pick");
  await input.uploadFile(...files.map(([file]) => join(folder, file)));
  await message("3 files are kept");
  const second = await openPage("/demo/", READY);
  const names = (page) => page.$$eval("#files .name", (all) => all.map((it) => it.textContent));
  equal(await names(second), files.map(([file]) => file).sort(), "the other tab");
  // By keyboard alone: to the button that verifies, and press it.
  await page.bringToFront();
  for (let tries = 0; (await page.evaluate(() => document.activeElement.id)) !== "verify"; tries++) {
    ok(tries < 40, "the button is reached by the tabulator");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await message("every byte is what was written");
  await pictures(page, name, schemes);
  const label = (page) => page.evaluate(() => document.activeElement.ariaLabel);
  equal(await page.evaluate(() => document.activeElement.id), "verify", "the focus stays");
  await page.evaluate(() => [...document.querySelectorAll("#files button")].find((it) => it.ariaLabel === "Save a letter.txt").focus());
  await second.bringToFront();
  await second.evaluate(() => [...document.querySelectorAll("#files button")].find((it) => it.ariaLabel === "Delete notes.md").focus());
  await second.keyboard.press("Enter");
  for (const each of [page, second]) await each.waitForFunction(() => document.querySelectorAll("#files li").length === 2, { polling: 50 });
  await second.waitForFunction(() => document.getElementById("work").hidden, { polling: 50 });
  equal([await label(page), await label(second)], ["Save a letter.txt", "Delete photo of the harbour, summer.jpg"], "the focus stays at its row, or goes to the next");
  // What does not fit a phone's width would scroll sideways.
  await page.setViewport(SIZES.phone);
  ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it fits a phone");
  await second.close();
  await page.close();
}

async function pictures(page, name, schemes) {
  const folder = process.env.SCREENS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const scheme of schemes) {
      await page.setViewport(viewport);
      if (name === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.screenshot({ path: join(folder, `${name}-${size}-${scheme}.png`), fullPage: true });
    }
  }
}
