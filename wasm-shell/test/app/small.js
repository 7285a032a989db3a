// The package through a bundler that does not know of workers and modules.
import { open } from "blockyard";

window.run = async () => {
  const yard = await open("esbuild", { workerUrl: "worker.js", wasmUrl: "blockyard.wasm" });
  await yard.put("name", "through esbuild");
  const text = await yard.getText("name");
  await yard.destroy();
  return text;
};
