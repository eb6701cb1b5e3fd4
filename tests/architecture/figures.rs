//! What the house is measured by, made again: `cargo test --test architecture figures -- --nocapture`.
//!
//! The bounds are what linkerd2-proxy, crates.io and ripgrep keep to, with some room; a figure that leaves them deserves
//! a look, not a new bound.

use std::fs;
use std::path::Path;

use crate::house;

/// Median, nine of ten, and the most.
fn spread(mut values: Vec<usize>) -> (usize, usize, usize) {
    values.sort_unstable();
    let at = |tenths: usize| values[(values.len() - 1) * tenths / 10];
    (at(5), at(9), at(10))
}

#[test]
#[expect(clippy::print_stdout, reason = "what it is for")]
fn figures() {
    let sources = house::sources();
    let production = || sources.iter().filter(|source| !source.is_of_tests);
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let files = spread(
        production()
            .map(|source| lines(&source.production))
            .collect(),
    );
    let functions = house::functions(sources);
    let length = spread(functions.iter().map(|function| function.lines).collect());
    let own = functions.iter().filter(|function| function.is_ours);
    let long = own.clone().filter(|function| function.parameters > 5);
    let long = percent(long.count(), own.count());
    let all: usize = production().map(|source| lines(&source.production)).sum();
    let reasons = production().flat_map(|source| source.production.lines());
    let reasons = reasons.filter(|line| {
        let line = line.trim_start();
        line.starts_with("// ") || line.contains(" // ")
    });
    let reasons = percent(reasons.count(), all);
    let promises = production().flat_map(|source| source.production.lines());
    let promises = promises.filter(|line| {
        let line = line.trim_start();
        line.starts_with("///") || line.starts_with("//!")
    });
    let promises = percent(promises.count(), all);
    let arrows = house::arrows(sources);
    let circles = house::circles(&arrows);
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme)
        .unwrap_or_default()
        .lines()
        .count();

    println!(
        "files                                     {}",
        production().count()
    );
    println!("lines that run                            {all}");
    println!("lines of a file, median / p90 / max       {files:?}");
    println!("lines of a function, median / p90 / max   {length:?}");
    println!("functions with six or more parameters     {long:.1} %");
    println!("lines with // comments                    {reasons:.1} %");
    println!("lines with /// and //! comments           {promises:.1} %");
    println!(
        "circles of files inside rooms             {}",
        circles.len()
    );
    println!("lines of README.md                        {readme}");
    assert!(files.0 < 250, "files are long: {files:?}");
    assert!(length.1 < 40, "functions are long: {length:?}");
}

#[expect(clippy::cast_precision_loss, reason = "counts of lines")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
