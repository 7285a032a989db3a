//! Targets by way of Debian's packages, for machines where rustup has nothing to download from.
//!
//! Debian's `rustc-web` is a recent compiler with the source of the standard library, but without the
//! library itself for the targets needed here: [`sysroot`] compiles it, once a machine.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::sysroot;
use crate::tool;
use crate::toolchain::{Target, Toolchain};

/// A compiler, its cargo, the library's source and the linker (of the same LLVM as the compiler).
const PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];

/// Gives the targets to a toolchain of Debian's packages.
pub(crate) fn install(shell: &Shell, missing: &[Target]) -> Result<()> {
    refuse_elsewhere(missing)?;
    let root = Root::find(shell)?;
    install_packages(shell, &root, &PACKAGES)
        .with_context(|| format!("Debian's packages could not be installed; {}", advice(missing)))?;
    let toolchain = Toolchain::link_debian(shell)?;
    for target in missing {
        if toolchain.has(shell, *target) {
            continue;
        }
        sysroot::install(shell, &root, &toolchain, *target)?;
        toolchain.probe(shell, *target)?;
    }
    Ok(())
}

/// Debian's compiler, linked, and `packages` besides; what is missing is installed.
pub(crate) fn toolchain_with(shell: &Shell, packages: &[&'static str]) -> Result<Toolchain> {
    let wanted = [&PACKAGES, packages].concat();
    require(shell, &wanted)?;
    Toolchain::link_debian(shell)
}

/// Installs those of `packages` that are missing.
pub(crate) fn require(shell: &Shell, packages: &[&'static str]) -> Result<()> {
    let advice = || format!("on Debian 12: `apt-get install {}`", packages.join(" "));
    if !Path::new("/etc/debian_version").exists() {
        bail!("this step needs packages of Debian and this is another system; {}", advice());
    }
    if packages.iter().all(|name| is_installed(shell, name)) {
        return Ok(());
    }
    let install = || install_packages(shell, &Root::find(shell)?, packages);
    install().with_context(|| format!("packages could not be installed; {}", advice()))
}

/// Other systems have no such packages.
fn refuse_elsewhere(missing: &[Target]) -> Result<()> {
    if !Path::new("/etc/debian_version").exists() {
        bail!("rustup could not add the targets and this is not Debian; {}", advice(missing));
    }
    Ok(())
}

/// What a person has to install.
fn advice(missing: &[Target]) -> String {
    let triples: Vec<_> = missing.iter().map(|target| target.triple).collect();
    format!(
        "install the targets by `rustup target add {}` (needs a network), or on Debian 12 the packages by \
         `apt-get install {}`, and run `cargo xtask setup` again",
        triples.join(" "),
        PACKAGES.join(" ")
    )
}

fn install_packages(shell: &Shell, root: &Root, packages: &[&'static str]) -> Result<()> {
    // Steps run side by side, and apt refuses to work beside itself.
    let folder = tool::cache()?;
    shell.create_dir(&folder)?;
    let lock = File::create(folder.join("apt.lock"))?;
    lock.lock().context("cannot wait for another installation")?;
    let missing: Vec<_> = packages.iter().copied().filter(|name| !is_installed(shell, name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Another apt may be at work on a machine that has just booted.
    let options = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"];
    root.run(shell, ["apt-get", "update"].into_iter().chain(options))?;
    let install =
        ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"];
    root.run(shell, install.into_iter().chain(options).chain(missing))
}

fn is_installed(shell: &Shell, package: &str) -> bool {
    let format = "-f=${db:Status-Status}";
    let query = cmd!(shell, "dpkg-query --show {format} {package}").quiet().ignore_stderr().read();
    query.is_ok_and(|status| status == "installed")
}

/// How to run a command as the superuser.
pub(crate) struct Root {
    prefix: Option<&'static str>,
}

impl Root {
    fn find(shell: &Shell) -> Result<Self> {
        let user = cmd!(shell, "id -u").quiet().read()?;
        if user == "0" {
            return Ok(Self { prefix: None });
        }
        cmd!(shell, "sudo --version")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .context("Debian's packages need the superuser and there is no sudo; run this step as root")?;
        Ok(Self { prefix: Some("sudo") })
    }

    /// Runs a command with all rights.
    pub(crate) fn run<'a>(&self, shell: &Shell, command: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut words = self.prefix.into_iter().chain(command);
        let program = words.next().context("an empty command")?;
        Ok(cmd!(shell, "{program} {words...}").run()?)
    }
}
