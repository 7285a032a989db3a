//! Makes the asynchronous variant of the engine out of its sources, if the feature `async` asks for it; see
//! docs/decisions/0016-async.md.

#[cfg(feature = "async")]
#[path = "build/emit.rs"]
mod emit;
#[cfg(feature = "async")]
#[path = "build/plan.rs"]
mod plan;
#[cfg(feature = "async")]
#[path = "build/source.rs"]
mod source;
#[cfg(feature = "async")]
#[path = "build/walk.rs"]
mod walk;
#[cfg(feature = "async")]
#[path = "build/world.rs"]
mod world;

/// Modules of which the variant has its own. Of the others it uses the engine's.
#[cfg(feature = "async")]
const ROOTS: [&str; 5] = ["device", "freemap", "journal", "store", "tree"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "async")]
    make();
}

#[cfg(feature = "async")]
fn make() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src");
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("cargo did not set {name}"));
    let src = std::path::Path::new(&variable("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = Vec::new();
    let lib = std::fs::read_to_string(src.join("lib.rs")).unwrap_or_else(|error| panic!("lib.rs: {error}"));
    let lib = syn::parse_file(&lib).unwrap_or_else(|error| panic!("lib.rs: {error}"));
    for item in lib.items {
        if let syn::Item::Mod(module) = item
            && ROOTS.iter().any(|root| module.ident == root)
        {
            source::load(&src, vec![module.ident.to_string()], module.vis, &mut modules);
        }
    }
    let world = world::World::new(modules);
    let plan = plan::Plan::new(&world);
    let made = emit::Emitter::run(&world, &plan);
    let file = std::path::Path::new(&variable("OUT_DIR")).join("asynchronous.rs");
    std::fs::write(&file, made).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
