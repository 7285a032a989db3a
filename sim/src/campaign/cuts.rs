//! Power cuts after every change of a life.

use super::Seen;
use crate::check::{Depth, Judge};
use crate::fault::{Event, Fired};
use crate::work::Work;
use blockyard_core::overlay::Overlay;
use std::sync::Arc;

/// Works a while, and checks at each change what a power cut there may leave.
///
/// # Errors
/// What was lost or invented.
pub fn cuts<O: Overlay + Default>(seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
    let mut work: Work<O> = Work::counting(seed, Arc::clone(fired));
    let mut rng = fastrand::Rng::with_seed(!seed);
    // The deeper the look, the shorter the life.
    let (steps, writes) = [(40, 3), (40, 3), (40, 4), (24, 7), (12, 12)][rng.usize(..5)];
    work.device.record();
    work.run(steps).map_err(|error| format!("without any fault: {error}"))?;
    let moments = work.device.moments();
    fired.count(Event::PowerCut);
    let depth = Depth { writes, units: 3, samples: 2 };
    let states = Judge::new(&work, fired).check_all(&moments, depth, &mut rng)?;
    Ok(Seen { states, met: work.met })
}
