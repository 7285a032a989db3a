//! Target `image`: a golden image, changed and perhaps sealed again, never brings the engine to panic.
//!
//! The bytes choose the image, how it is opened, up to eight changes (bytes of any structure, pages that
//! change places, a cut), whether the digests are made right afterwards, and what is written then.

use crate::golden::{GOLDEN, Golden};
use crate::hostile::{Opening, exercise};
use crate::input::Input;
use crate::reseal::reseal;
use std::ops::Range;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let golden = &GOLDEN[input.below(GOLDEN.len())];
    let opening = Opening::draw(&mut input);
    let seal = input.byte() % 8;
    let mut image = golden.bytes.clone();
    for _ in 0..input.byte() % 9 {
        change(&mut image, golden, &mut input);
    }
    // Mostly sealed: what is not comes no further than the first digest.
    if seal > 1 {
        reseal(&mut image, seal > 4);
    }
    exercise(image, golden.geometry.page_size() as u32, opening, input);
}

fn change(image: &mut Vec<u8>, golden: &Golden, input: &mut Input<'_>) {
    let page = golden.geometry.page_size();
    match input.byte() % 12 {
        0 | 1 => patch(image, &pick(&golden.superblocks, input), input),
        2..=5 => patch(image, &pick(&golden.nodes, input), input),
        6 => patch(image, &pick(&golden.maps, input), input),
        7 => patch(image, &pick(&golden.headers, input), input),
        8 => patch(image, &pick(&golden.bodies, input), input),
        9 => {
            let whole = 0..image.len();
            patch(image, &whole, input);
        }
        10 => {
            // One page in another's place.
            let places = [golden.nodes.as_slice(), &golden.maps].concat();
            let (from, to) = (pick(&places, input), pick(&places, input));
            if from.end.max(to.end) <= image.len() {
                image.copy_within(from, to.start);
            }
        }
        _ => {
            let length = input.below(image.len() / page + 8) * page + input.below(2) * 100;
            image.resize(length, 0);
        }
    }
}

fn pick(places: &[Range<usize>], input: &mut Input<'_>) -> Range<usize> {
    let at = input.below(places.len());
    places.get(at).cloned().unwrap_or(0..0)
}

/// Replaces some bytes of a place by others.
pub(crate) fn patch(image: &mut [u8], place: &Range<usize>, input: &mut Input<'_>) {
    let at = place.start + input.below(place.len());
    let width = input.pick([1, 2, 4, 8, 16]);
    let end = (at + width).min(place.end);
    let Some(bytes) = image.get_mut(at..end) else { return };
    match input.byte() % 4 {
        0 => {
            let new = input.number().to_le_bytes();
            bytes.iter_mut().zip(new).for_each(|(byte, new)| *byte = new);
        }
        1 => {
            let new = input.take(bytes.len());
            bytes.iter_mut().zip(new).for_each(|(byte, new)| *byte = *new);
        }
        2 => {
            let old = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            let new = old.wrapping_add_signed(i64::from(input.byte().cast_signed())).to_le_bytes();
            bytes.iter_mut().zip(new).for_each(|(byte, new)| *byte = new);
        }
        _ => {
            let bit = 1 << (input.byte() % 8);
            bytes.iter_mut().take(1).for_each(|byte| *byte ^= bit);
        }
    }
}
