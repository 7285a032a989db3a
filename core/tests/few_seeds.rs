//! A few seeds of every campaign. It compiles in a moment and fails at the first thing wrong, which is what
//! `cargo xtask mutants` asks for; it/crash.rs runs more, `cargo xtask sim` any number.
#![cfg(not(loom))]

use blockyard_sim::campaign::CAMPAIGNS;
use blockyard_sim::fault::Fired;
use std::sync::Arc;

fn few(name: &str, seeds: u64) {
    let mut states = 0;
    let campaign = CAMPAIGNS.into_iter().find(|campaign| campaign.name == name).expect("it has this name");
    for seed in 0..seeds {
        match campaign.run(seed, &Arc::new(Fired::default())) {
            Ok(seen) => states += seen.states,
            Err(error) => panic!("{name}, seed {seed}: {error}"),
        }
    }
    assert!(states > seeds, "{states} states are too few");
}

#[test]
fn cuts() {
    few("cuts", 6);
}

#[test]
fn cuts_with_bodies_in_the_journal() {
    few("cuts-fixed", 6);
}

#[test]
fn failures() {
    few("failures", 20);
}

#[test]
fn failures_with_bodies_in_the_journal() {
    few("failures-fixed", 20);
}

#[test]
fn lives() {
    few("lives", 10);
}

#[test]
fn lives_with_bodies_in_the_journal() {
    few("lives-fixed", 10);
}

#[test]
fn full() {
    few("full", 2);
}

#[test]
fn full_with_bodies_in_the_journal() {
    few("full-fixed", 10);
}

#[test]
fn media() {
    few("media", 60);
}
