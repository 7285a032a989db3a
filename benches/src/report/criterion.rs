//! What criterion left in its folder: for each bench `new/benchmark.json` and `new/estimates.json`.

use std::path::Path;

use anyhow::{Context, Result};

/// One bench.
pub(crate) struct Measured {
    /// Its group.
    pub(crate) group: String,
    /// Its name in the group; empty if it has a parameter only.
    pub(crate) function: String,
    /// Its parameter; empty if it has none.
    pub(crate) value: String,
    /// Nanoseconds of an iteration.
    pub(crate) median: f64,
    /// The 95 % interval of the median.
    pub(crate) interval: (f64, f64),
    /// What an iteration does.
    pub(crate) throughput: Option<Throughput>,
}

/// What an iteration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum Throughput {
    /// Bytes.
    Bytes(u64),
    /// Things.
    Elements(u64),
}

#[derive(serde::Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(serde::Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(serde::Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(serde::Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// All benches of a folder, sorted by name, and by number where the parameter is one.
pub(crate) fn read(folder: &Path) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    visit(folder, &mut found)?;
    let number = |it: &Measured| it.value.parse::<u64>().unwrap_or(0);
    found.sort_by(|a, b| {
        (&a.group, &a.function, number(a), &a.value).cmp(&(&b.group, &b.function, number(b), &b.value))
    });
    Ok(found)
}

fn visit(folder: &Path, found: &mut Vec<Measured>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.ends_with("new") && path.join("estimates.json").exists() {
            found.push(one(&path)?);
        } else {
            visit(&path, found)?;
        }
    }
    Ok(())
}

fn one(folder: &Path) -> Result<Measured> {
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let benchmark: Benchmark = serde_json::from_str(&text("benchmark.json")?)?;
    let median = serde_json::from_str::<Estimates>(&text("estimates.json")?)?.median;
    Ok(Measured {
        group: benchmark.group_id,
        function: benchmark.function_id.unwrap_or_default(),
        value: benchmark.value_str.unwrap_or_default(),
        median: median.point_estimate,
        interval: (median.confidence_interval.lower_bound, median.confidence_interval.upper_bound),
        throughput: benchmark.throughput,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_are_found_wherever_they_lie_and_sorted_by_number() -> Result<()> {
        let folder = tempfile::tempdir()?;
        for value in [500, 64] {
            let new = folder.path().join(format!("group/function/{value}/new"));
            std::fs::create_dir_all(&new)?;
            let benchmark = format!(
                r#"{{"group_id":"g","function_id":"f","value_str":"{value}","throughput":{{"Bytes":{value}}},"full_id":"x"}}"#
            );
            std::fs::write(new.join("benchmark.json"), benchmark)?;
            let interval = r#"{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0}"#;
            let estimates = format!(
                r#"{{"median":{{"confidence_interval":{interval},"point_estimate":2.0,"standard_error":0.1}}}}"#
            );
            std::fs::write(new.join("estimates.json"), estimates)?;
        }
        let found = read(folder.path())?;
        let values: Vec<&str> = found.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(values, ["64", "500"]);
        assert_eq!((found[0].median, found[0].interval), (2.0, (1.0, 3.0)));
        assert_eq!(found[1].throughput, Some(Throughput::Bytes(500)));
        Ok(())
    }
}
