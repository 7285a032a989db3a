//! Numbers as people read them: three digits and a unit.

use crate::results::Spread;
use crate::workloads::Unit;

/// Three digits.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A time.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "–".to_owned(),
        it if it < 0.9995e-6 => format!("{} ns", digits(it * 1e9)),
        it if it < 0.9995e-3 => format!("{} µs", digits(it * 1e6)),
        it if it < 0.9995 => format!("{} ms", digits(it * 1e3)),
        it => format!("{} s", digits(it)),
    }
}

/// Seconds for an operation in the unit of its series.
pub(crate) fn shown(seconds: f64, unit: Unit) -> String {
    match unit {
        Unit::Time => time(seconds),
        Unit::Rate => format!("{} k/s", digits(1e-3 / seconds)),
        Unit::Bandwidth => format!("{} MiB/s", digits(1.0 / seconds)),
    }
}

/// Bytes.
pub(crate) fn bytes(count: f64) -> String {
    match count {
        it if it < 1024.0 => format!("{} B", digits(it)),
        it if it < 1024.0 * 1024.0 => format!("{} KiB", digits(it / 1024.0)),
        it if it < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", digits(it / 1024.0 / 1024.0)),
        it => format!("{} GiB", digits(it / 1024.0 / 1024.0 / 1024.0)),
    }
}

/// A ratio with what the rounds had.
pub(crate) fn ratio(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return "–".to_owned() };
    format!("{} ({}–{})", digits(spread.median), digits(spread.low), digits(spread.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_the_unit_that_fits() {
        assert_eq!([165e-6, 5.67e-3, 0.41e-6, 1.5].map(time), ["165 µs", "5.67 ms", "410 ns", "1.50 s"]);
        assert_eq!(shown(1.0 / 18_500.0, Unit::Rate), "18.5 k/s");
        assert_eq!(shown(1.0 / 750.0, Unit::Bandwidth), "750 MiB/s");
        assert_eq!([0.0, 512.0, 4096.0, 41_104_179.0].map(bytes), ["0 B", "512 B", "4.00 KiB", "39.2 MiB"]);
        assert_eq!((time(f64::NAN), ratio(None)), ("–".to_owned(), "–".to_owned()));
    }
}
