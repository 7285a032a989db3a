//! Figures for people.

use crate::criterion::Throughput;

/// Three digits and a unit of time.
pub(crate) fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        it if it < 1e3 => (it, "ns"),
        it if it < 1e6 => (it / 1e3, "µs"),
        it if it < 1e9 => (it / 1e6, "ms"),
        it => (it / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Three digits.
fn digits(value: f64) -> String {
    match value {
        it if it < 10.0 => format!("{it:.2}"),
        it if it < 100.0 => format!("{it:.1}"),
        it => format!("{it:.0}"),
    }
}

/// What is done in a second.
pub(crate) fn volume(each: Throughput, nanoseconds: f64) -> String {
    match each {
        Throughput::Bytes(bytes) => format!("{} MB/s", digits(bytes as f64 / nanoseconds * 1e3)),
        Throughput::Elements(1) => format!("{} million/s", digits(1e3 / nanoseconds)),
        Throughput::Elements(count) => format!("{} each", time(nanoseconds / count as f64)),
    }
}

/// Bytes.
pub(crate) fn kib(bytes: f64) -> String {
    match bytes {
        it if it < 1024.0 => format!("{it:.0} B"),
        it if it < 10_240.0 => format!("{:.1} KiB", it / 1024.0),
        it => format!("{:.0} KiB", it / 1024.0),
    }
}

/// What the figures were measured on.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let processor = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("an unknown processor", |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split(' ').nth(1).unwrap_or("unknown").to_owned();
    let system = read("/proc/sys/kernel/osrelease");
    format!(
        "{processor}, {threads} threads, Linux {}; the load average over the last five minutes was {load} (1 is the \
         benches' own)",
        system.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(time(123.4), "123 ns");
        assert_eq!(time(45_678.0), "45.7 µs");
        assert_eq!(time(1_234_567.0), "1.23 ms");
        assert_eq!(kib(2080.0), "2.0 KiB");
        assert_eq!(volume(Throughput::Bytes(4096), 2048.0), "2000 MB/s");
        assert_eq!(volume(Throughput::Elements(500), 1e6), "2.00 µs each");
        assert_eq!(volume(Throughput::Elements(1), 100.0), "10.0 million/s");
    }
}
