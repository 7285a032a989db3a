//! Every engine, through the trait: it holds what the model holds after each workload, and again
//! after a settle.

use super::*;
use crate::demo::rows::Model;
use crate::demo::verify;

#[test]
fn every_engine_agrees_with_the_model() {
    for kind in &ALL {
        let place = tempfile::tempdir().expect("a directory");
        let mut engine = (kind.start)(place.path()).expect(kind.name);
        let mut model = Model::generate(5, 120);
        engine.load(model.rows()).expect(kind.name);
        for (seed, &workload) in kind.workloads.iter().enumerate() {
            match workload {
                Workload::Load => {}
                Workload::Select => {
                    assert_eq!(engine.select(30).expect(kind.name), model.select(30), "{}", kind.name)
                }
                update => {
                    let updates = model.invent_updates(seed as u64, 60);
                    engine.update(update, &updates).expect(kind.name);
                    model.apply(&updates);
                }
            }
            assert_eq!(
                verify::compare(engine.as_mut(), &model).expect(kind.name),
                None,
                "{} {workload:?}",
                kind.name
            );
            engine.settle().expect(kind.name);
            assert_eq!(
                verify::compare(engine.as_mut(), &model).expect(kind.name),
                None,
                "{} settled",
                kind.name
            );
        }
        engine.close().expect(kind.name);
    }
}

#[test]
fn a_wrong_a_missing_and_a_strange_record_are_told() {
    let place = tempfile::tempdir().expect("a directory");
    let mut engine = slots::start(place.path()).expect("slots");
    let mut model = Model::generate(5, 50);
    engine.load(model.rows()).expect("loaded");
    let updates = model.invent_updates(1, 1);
    model.apply(&updates);
    assert!(verify::compare(engine.as_mut(), &model).expect("compared").is_some(), "an old row");
    let more = Model::generate(5, 51);
    assert!(verify::compare(engine.as_mut(), &more).expect("compared").is_some(), "a missing row");
    let fewer = Model::generate(5, 49);
    assert!(verify::compare(engine.as_mut(), &fewer).expect("compared").is_some(), "a strange row");
}
