//! Rustup components that checks call: rustfmt and clippy.

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

/// A component of rustup and the cargo command it brings.
struct Component {
    name: &'static str,
    command: &'static str,
}

const COMPONENTS: [Component; 2] =
    [Component { name: "rustfmt", command: "fmt" }, Component { name: "clippy", command: "clippy" }];

/// Adds the components that are missing.
pub(crate) fn install(shell: &Shell) -> Result<()> {
    COMPONENTS.iter().try_for_each(|component| install_one(shell, component))
}

fn install_one(shell: &Shell, component: &Component) -> Result<()> {
    let name = component.name;
    if works(shell, component) {
        println!("{name}: there");
        return Ok(());
    }
    println!("{name}: missing");
    let added = cmd!(shell, "rustup component add {name}").run();
    if !works(shell, component) {
        let reason = added.err().map(|error| format!(" ({error})")).unwrap_or_default();
        bail!(
            "{name} is missing and rustup could not add it{reason}; install it for the toolchain of `cargo --version`"
        );
    }
    Ok(())
}

fn works(shell: &Shell, component: &Component) -> bool {
    let command = component.command;
    cmd!(shell, "cargo {command} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}
