// A program as users write it: the package from its tarball, through a bundler. The tests call what it shows.
import * as blockyard from "blockyard";
import { caching, forgetful } from "./caching.js";
import * as cases from "./cases.js";
import { cutter } from "./cut.js";

window.blockyard = { ...blockyard, open: cases.open };
window.cases = { ...cases, caching };
window.forgetful = forgetful;
window.cutter = cutter;
window.syncWorker = () => new Worker(new URL("./sync-worker.js", import.meta.url), { type: "module" });
window.ready = true;
