//! Compiles the standard library of a target from Debian's source and puts it where its compiler looks,
//! after which plain `cargo build --target` works.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::Shell;

use super::debian::Root;
use crate::toolchain::{Target, Toolchain};

/// Name of the empty crate whose build brings the library along.
const CARRIER: &str = "blockyard_sysroot_carrier";

/// Compiles and installs the standard library of `target`; about a minute.
pub(crate) fn install(shell: &Shell, root: &Root, toolchain: &Toolchain, target: Target) -> Result<()> {
    println!("compiling the standard library of {} once, about a minute", target.triple);
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let libraries = compile(shell, toolchain, target, folder.path())?;
    let staged = stage(&libraries, &folder.path().join("lib"))?;
    place(shell, root, target, &staged)?;
    forget_builds(shell, target)
}

/// Builds an empty crate together with the library; returns the folder of the results.
fn compile(shell: &Shell, toolchain: &Toolchain, target: Target, folder: &Path) -> Result<PathBuf> {
    let Target { triple, std_crates, .. } = target;
    let manifest = folder.join("Cargo.toml");
    shell.write_file(
        &manifest,
        format!("[package]\nname = \"{CARRIER}\"\nedition = \"2024\"\n\n[workspace]\n"),
    )?;
    shell.write_file(folder.join("src/lib.rs"), "#![no_std]\n")?;
    let build_folder = folder.join("target");
    let cargo = toolchain.cargo(shell).arg("build").arg(format!("-Zbuild-std={std_crates}"));
    cargo
        .args(["--release", "--target", triple, "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &build_folder)
        // -Z of a compiler that is not a nightly; the library's source is the compiler's own.
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode `lto = true` fails in whoever uses the library.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .run()
        .with_context(|| format!("cannot compile the standard library of {triple}"))?;
    Ok(build_folder.join(triple).join("release/deps"))
}

/// Copies the libraries, without the empty crate, into a new folder.
fn stage(libraries: &Path, staged: &Path) -> Result<PathBuf> {
    std::fs::create_dir(staged)?;
    let mut copied = 0;
    for entry in std::fs::read_dir(libraries)? {
        let path = entry?.path();
        let is_library = path.extension().is_some_and(|it| it == "rlib" || it == "rmeta");
        let Some(name) = path.file_name().filter(|_| is_library) else { continue };
        if name.to_string_lossy().contains(CARRIER) {
            continue;
        }
        std::fs::copy(&path, staged.join(name))?;
        copied += 1;
    }
    if copied == 0 {
        bail!("cargo built no library in {}", libraries.display());
    }
    Ok(staged.to_path_buf())
}

/// Replaces the target's folder in the sysroot as a whole: a library of an older compiler must not stay,
/// and an interrupted copy must not look finished.
fn place(shell: &Shell, root: &Root, target: Target, staged: &Path) -> Result<()> {
    let home = format!("{}/lib/rustlib/{}", Toolchain::DEBIAN_ROOT, target.triple);
    let (finished, partial) = (format!("{home}/lib"), format!("{home}/lib.partial"));
    let staged = staged.to_str().context("the temporary folder's name is not Unicode")?;
    root.run(shell, ["mkdir", "-p", &home])?;
    root.run(shell, ["rm", "-rf", &partial])?;
    root.run(shell, ["cp", "-r", staged, &partial])?;
    root.run(shell, ["rm", "-rf", &finished])?;
    root.run(shell, ["mv", &partial, &finished])
}

/// Cargo does not notice a replaced sysroot, so what it built for the target has to go.
fn forget_builds(shell: &Shell, target: Target) -> Result<()> {
    let builds = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(shell.remove_path(builds.join(target.triple))?)
}
