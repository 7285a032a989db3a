//! The records of the predecessor's table: 5,000 of them, 176 bytes each, the same in every run.

/// Records loaded before anything is measured.
pub const RECORDS: u64 = 5_000;
/// Updates that are measured together.
pub const UPDATES: u64 = 500;
/// Bytes of a record.
pub const LENGTH: usize = 176;
/// The select returns the records above this age.
pub const AGE: u8 = 30;

/// Where the age stands in a record.
const AGE_AT: usize = 8;

/// A record's name and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of its block.
    pub name: String,
    /// Its bytes: number, age, and what cannot be compressed.
    pub bytes: Vec<u8>,
}

/// Record `id` in version `version`, `length` bytes long.
///
/// # Panics
/// If there is no room for number and age.
#[must_use]
pub fn row(id: u64, version: u64, length: usize) -> Row {
    assert!(length > AGE_AT, "a record has {} bytes at least", AGE_AT + 1);
    let mut random = fastrand::Rng::with_seed(id ^ version.rotate_left(32));
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[AGE_AT] = 18 + random.u8(..50);
    Row { name: name(id), bytes }
}

/// The name of record `id`: 16 bytes, and they sort as the numbers do.
#[must_use]
pub fn name(id: u64) -> String {
    format!("record/{id:09}")
}

/// Records `from..to` in their first version.
#[must_use]
pub fn rows(range: std::ops::Range<u64>, length: usize) -> Vec<Row> {
    range.map(|id| row(id, 0, length)).collect()
}

/// `count` new versions of random ones among `records` records; one may be hit more than once.
#[must_use]
pub fn updates(seed: u64, records: u64, count: u64, length: usize) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| row(random.u64(..records), seed, length)).collect()
}

/// What a select found: figures that only the right records, read to their end, can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Records above the age.
    pub rows: u64,
    /// The sum over their bytes, eight at a time.
    pub sum: u64,
}

impl Selection {
    /// Looks at one record.
    pub fn visit(&mut self, bytes: &[u8]) {
        if bytes.get(AGE_AT).is_some_and(|&age| age > AGE) {
            self.rows += 1;
            let words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_le_bytes));
            self.sum = words.fold(self.sum, u64::wrapping_add);
        }
    }

    /// What a select over these records must find.
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut selection = Self::default();
        rows.into_iter().for_each(|row| selection.visit(&row.bytes));
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_records() {
        assert_eq!(rows(0..50, LENGTH), rows(0..50, LENGTH));
        assert_eq!(updates(3, 50, 20, LENGTH), updates(3, 50, 20, LENGTH));
        assert_ne!(updates(3, 50, 20, LENGTH), updates(4, 50, 20, LENGTH));
        assert!(rows(0..50, LENGTH).is_sorted_by_key(|row| row.name.clone()));
        assert_eq!(name(7).len(), 16);
    }

    #[test]
    fn a_selection_sees_every_byte_of_the_records_above_the_age() {
        let mut rows = rows(0..200, LENGTH);
        let found = Selection::of(&rows);
        assert!((100..200).contains(&found.rows), "{found:?}");
        let old = rows.iter_mut().find(|row| row.bytes[AGE_AT] > AGE).expect("one above the age");
        old.bytes[LENGTH - 1] ^= 1;
        assert_ne!(Selection::of(&rows), found);
    }
}
