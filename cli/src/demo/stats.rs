//! Medians and minima: on a shared disk a mean says nothing.

use super::count::Cost;

/// The middle value; of an even number of values the mean of the middle two. `None` if there are
/// none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[middle - 1] + upper) / 2.0) }
}

/// The lower of the two middle values: a count that was really seen. `None` if there are none.
pub(crate) fn median_count(values: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut sorted: Vec<u64> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// The costs of one engine at one workload, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    costs: Vec<Cost>,
}

impl Series {
    /// Adds a measurement.
    pub(crate) fn push(&mut self, cost: Cost) {
        self.costs.push(cost);
    }

    /// How often it was measured.
    pub(crate) fn len(&self) -> usize {
        self.costs.len()
    }

    /// Median milliseconds; 0 if nothing was measured.
    pub(crate) fn median_ms(&self) -> f64 {
        median(self.costs.iter().map(|cost| cost.ms)).unwrap_or(0.0)
    }

    /// Least milliseconds; 0 if nothing was measured.
    pub(crate) fn min_ms(&self) -> f64 {
        self.costs.iter().map(|cost| cost.ms).reduce(f64::min).unwrap_or(0.0)
    }

    /// Median of a count; `None` if it could not be counted.
    pub(crate) fn median_of(&self, count: impl Fn(&Cost) -> Option<u64>) -> Option<u64> {
        median_count(self.costs.iter().filter_map(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_one_and_none() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([9.0]), Some(9.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn median_count_is_a_value_that_was_seen() {
        assert_eq!(median_count([5, 1, 9]), Some(5));
        assert_eq!(median_count([4, 1, 3, 2]), Some(2));
        assert_eq!(median_count([7]), Some(7));
        assert_eq!(median_count([]), None);
    }

    #[test]
    fn a_series_gives_median_and_minimum() {
        let mut series = Series::default();
        assert_eq!((series.median_ms(), series.min_ms()), (0.0, 0.0));
        for (ms, syncs) in [(3.0, 1), (1.0, 2), (2.0, 9)] {
            series.push(Cost { ms, syncs: Some(syncs), ..Cost::default() });
        }
        assert_eq!((series.median_ms(), series.min_ms(), series.len()), (2.0, 1.0, 3));
        assert_eq!(series.median_of(|cost| cost.syncs), Some(2));
        assert_eq!(series.median_of(|cost| cost.bytes_written), None);
    }
}
