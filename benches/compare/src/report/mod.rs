//! What is printed and written: tables in Markdown, charts in SVG, figures in JSON.

mod chart;
mod goals;
pub(crate) mod svg_page;
mod table;
pub(crate) mod words;

use std::path::Path;

use anyhow::{Context, Result};

use crate::results::Results;

/// Writes everything into a folder, which is made.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let put = |name: String, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut charts = Vec::new();
    for size in &results.sizes {
        let name = format!("compare-{}.svg", size.name);
        put(name.clone(), chart::draw(size))?;
        charts.push((size.name.clone(), name));
    }
    put("compare.json".to_owned(), serde_json::to_string_pretty(results)? + "\n")?;
    put("compare.md".to_owned(), table::markdown(results, &charts))
}

/// The tables as text.
pub(crate) fn text(results: &Results) -> String {
    table::markdown(results, &[])
}

/// What a smoke did: its figures mean nothing.
pub(crate) fn smoke(results: &Results) -> String {
    let mut text = String::new();
    let mut all = 0;
    for size in &results.sizes {
        let mut turns: Vec<(&str, &str)> =
            size.figures.iter().map(|figure| (figure.workload.as_str(), figure.engine.as_str())).collect();
        turns.sort_unstable();
        turns.dedup();
        all += turns.len();
        let engines = size.footprints.len();
        text += &format!("{}: {engines} engines, {} turns, every record compared\n", size.title, turns.len());
    }
    text + &format!("{all} passed, 0 failed\n")
}
