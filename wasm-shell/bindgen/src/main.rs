//! `blockyard-bindgen MODULE FOLDER NAME [--tests]`: writes `NAME.js` and `NAME_bg.wasm` into a folder, for the
//! package or, with `--tests`, for a page that runs the crate's tests.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let (module, folder, name, is_tests) = match words.as_slice() {
        [module, folder, name] => (module, folder, name, false),
        [module, folder, name, word] if word == "--tests" => (module, folder, name, true),
        _ => bail!("usage: blockyard-bindgen MODULE FOLDER NAME [--tests]"),
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(PathBuf::from(module)).out_name(name).web(true)?;
    if is_tests {
        // The tests start when the page says so, and a failure names its place.
        bindgen.debug(true).emit_start(false).typescript(false);
    } else {
        bindgen.omit_default_module_path(true).typescript(true);
    }
    bindgen.generate(folder)
}
