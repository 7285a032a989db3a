//! What makes the asynchronous engine says what it does not understand, and where.

#[path = "../../core/build/emit.rs"]
mod emit;
#[path = "../../core/build/plan.rs"]
mod plan;
#[path = "../../core/build/source.rs"]
mod source;
#[path = "../../core/build/walk.rs"]
mod walk;
#[path = "../../core/build/world.rs"]
mod world;

use std::panic::catch_unwind;

/// The only module of the engines below.
const ROOTS: [&str; 1] = ["device"];

/// A device, and what only the engine itself has: `emit.rs` adds to it.
const ENGINE: &str = "
    pub trait BlockDevice {
        type Error;
        fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
        fn unit(&self) -> u32;
    }
    pub(crate) struct Io<D> { device: D, poisoned: bool }
    impl<D: BlockDevice> Io<D> {
        fn new(device: D) -> Self { Self { device, poisoned: false } }
    }
    impl<D: BlockDevice> BlockDevice for Io<D> {
        type Error = D::Error;
        fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), D::Error> { self.device.read(offset, buf) }
        fn unit(&self) -> u32 { self.device.unit() }
    }
    pub struct Counters { pub reads: u64 }
    pub struct Store<D> { io: Io<D>, counters: Counters }
    impl<D: BlockDevice> Store<D> {
        fn ready(&self) -> bool { !self.io.poisoned }
        pub fn get(&mut self, buf: &mut [u8]) -> Result<(), D::Error> { self.io.read(0, buf) }
    }
";

/// Makes the variant of an engine.
fn made(engine: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::write(folder.path().join("device.rs"), engine).map_err(|error| error.to_string())?;
    let caught = catch_unwind(|| {
        let mut modules = Vec::new();
        source::load(folder.path(), vec!["device".to_owned()], syn::parse_quote!(pub), &mut modules);
        let world = world::World::new(modules);
        emit::Emitter::run(&world, &plan::Plan::new(&world))
    });
    caught.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// Demands that the variant is refused with these words.
fn refused(more: &str, words: &[&str]) {
    let said = made(&format!("{ENGINE}{more}")).expect_err("it is refused");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn what_leads_to_the_device_waits_and_nothing_else() {
    let more = "
        fn twice<D: BlockDevice>(io: &mut Io<D>, mut each: impl FnMut(&mut Io<D>, u64) -> Result<(), D::Error>)
            -> Result<(), D::Error>
        {
            each(io, 0)?;
            each(io, 1)
        }
        fn both<D: BlockDevice>(io: &mut Io<D>, buf: &mut [u8]) -> Result<(), D::Error> {
            let lengths = [1, 2].map(|at| at + 1);
            let _ = lengths;
            twice(io, |io, at| io.read(at, buf))
        }
        #[cfg(not(asynchronous))]
        fn only_blocking() {}
        #[cfg(asynchronous)]
        fn only_asynchronous() {}
        fn plain(bytes: &[u8]) -> Option<&u8> { bytes.get(0) }
    ";
    let made = made(&format!("{ENGINE}{more}")).unwrap_or_else(|said| panic!("{said}"));
    for part in [
        "pub async fn get(",
        "async fn both<D: BlockDevice>(",
        "impl AsyncFnMut(&mut Io<D>, u64)",
        "each(io, 0).await?;",
        "twice(io, async |io, at| io.read(at, buf).await).await",
        ".map(|at| at + 1)",
        "fn only_asynchronous()",
        "pub use crate::device::Counters;",
        "fn unit(&self) -> u32;",
        "self.poisoned = self.poisoned || self.changing;",
        "fn ready(&mut self) -> bool {",
        "self.io.changing = false;",
    ] {
        assert!(made.contains(part), "`{part}` is not in:\n{made}");
    }
    assert!(!made.contains("only_blocking") && !made.contains("async fn plain"), "{made}");
}

#[test]
fn recursion_is_refused() {
    let more = "
        fn down<D: BlockDevice>(io: &mut Io<D>, level: u32) -> Result<(), D::Error> {
            io.read(0, &mut [])?;
            if level > 0 { below(io, level) } else { Ok(()) }
        }
        fn below<D: BlockDevice>(io: &mut Io<D>, level: u32) -> Result<(), D::Error> { down(io, level - 1) }
    ";
    refused(more, &["leads back to itself", "device::down", "device::below"]);
}

#[test]
fn a_closure_that_waits_in_foreign_hands_is_refused() {
    let more = "
        fn all<D: BlockDevice>(io: &mut Io<D>, places: &[u64]) -> Result<(), D::Error> {
            places.iter().try_for_each(|&at| io.read(at, &mut []))
        }
    ";
    refused(more, &["device::all", "a closure that waits", "io . read (at"]);
}

#[test]
fn a_call_that_might_be_one_to_be_waited_for_is_refused() {
    let more = "
        fn some<D: BlockDevice>(ios: &mut [Io<D>]) -> Result<(), D::Error> {
            for io in ios {
                io.read(0, &mut [])?;
            }
            Ok(())
        }
    ";
    refused(more, &["device::some", "what `read` is called on is not known", "BlockDevice"]);
}

#[test]
fn a_method_of_a_foreign_trait_cannot_wait() {
    let more = "
        impl<D: BlockDevice> Drop for Store<D> {
            fn drop(&mut self) { let _ = self.io.read(0, &mut []); }
        }
    ";
    refused(more, &["Drop", "cannot wait for the device"]);
}

#[test]
fn an_expression_of_a_new_kind_is_refused() {
    let more = "fn odd() { let _ = unsafe { 1 }; }";
    refused(more, &["device::odd", "a kind that is not known here"]);
}

#[test]
fn a_guard_that_finds_no_place_is_missed() {
    assert!(made(ENGINE).is_ok());
    let said = made(&ENGINE.replace("fn ready", "fn is_ready"));
    assert!(said.is_err_and(|said| said.contains("`Store::ready` is not where it was")));
}
