// Runs the tests of the crate, as `wasm-bindgen-test-runner` does, and sends what they print.
import init, * as tests from "./tests.js";

const printed = [];
self.__wbg_test_invoke = (work) => work();
self.__wbg_test_output_writeln = (line) => printed.push(line);
for (const level of ["debug", "log", "info", "warn", "error"]) {
  // What a test prints is shown with it if it fails.
  console[level] = (...words) => tests[`__wbgtest_console_${level}`](words);
}

try {
  const module = await init({ module_or_path: new URL("./tests_bg.wasm", import.meta.url) });
  const names = Object.keys(module).filter((name) => name.startsWith("__wbgt_"));
  await new tests.WasmBindgenTestContext(false).run(names.map((name) => module[name]));
} catch (error) {
  printed.push(String(error));
}
postMessage(printed.join("\n"));
