//! The table that the README shows, as Markdown.

use std::fmt::{Result, Write};

use super::Contestant;
use crate::load::{Report, Spread, compare::MEASURES};

/// Everything that was run of one workload.
#[derive(Clone, Debug)]
pub struct Sitting {
    /// The workload, in words.
    pub work: String,
    /// Each contestant's runs.
    pub runs: Vec<(Contestant, Vec<Report>)>,
}

/// The columns: which measure, by name and unit, under which heading, divided by what.
const COLUMNS: &[(&str, &str, &str, f64)] = &[
    ("relay CPU", "s/GB", "CPU s/GB", 1.0),
    ("latency p50", "us", "p50 ms", 1e3),
    ("latency p99", "us", "p99 ms", 1e3),
    ("memory a viewer", "kB", "kB a viewer", 1.0),
    ("context switches", "/s", "switches/s", 1.0),
];

/// The table of several workloads, with what it was measured on.
pub fn markdown(sittings: &[Sitting], versions: &[String]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut out, sittings, versions);
    out
}

fn write_all(out: &mut String, sittings: &[Sitting], versions: &[String]) -> Result {
    let reports = || {
        sittings
            .iter()
            .flat_map(|s| &s.runs)
            .flat_map(|(_, runs)| runs)
    };
    if let Some(first) = reports().next() {
        let host = &first.host;
        writeln!(
            out,
            "{}, Linux {}, {} ({} cores), {}. CPU seconds of the serving process for each GB \
             delivered; the median of the runs, and their spread.\n",
            host.date,
            host.kernel,
            host.cpu,
            host.cores,
            versions.join(", ")
        )?;
    }
    for sitting in sittings {
        write_sitting(out, sitting)?;
    }
    let invalid: Vec<&Report> = reports().filter(|report| !report.is_valid()).collect();
    if let Some(first) = invalid.first() {
        writeln!(
            out,
            "{} runs are invalid, the first of {}: {}",
            invalid.len(),
            first.plan.label,
            first.problems.join("; ")
        )?;
    }
    Ok(())
}

fn write_sitting(out: &mut String, sitting: &Sitting) -> Result {
    writeln!(out, "**{}**\n", sitting.work)?;
    write!(out, "| | of Weir's CPU |")?;
    for (_, _, heading, _) in COLUMNS {
        write!(out, " {heading} |")?;
    }
    let mut storm = sitting.runs.iter().flat_map(|(_, runs)| runs);
    let storm = storm.any(|run| run.plan.storm);
    writeln!(
        out,
        " {} |\n|---|---|{}---|",
        if storm { "viewers kept" } else { "lost" },
        "---|".repeat(COLUMNS.len())
    )?;
    let weir = sitting
        .runs
        .iter()
        .find(|(contestant, _)| contestant.is_weir());
    let base = weir.map(|(_, runs)| runs.as_slice());
    for (contestant, runs) in &sitting.runs {
        let cpu = |runs: &[Report]| measure("relay CPU", "s/GB", runs);
        let ratio = cpu(runs)
            .zip(base.and_then(cpu))
            .and_then(|(own, base)| own.over(&base));
        let ratio = ratio.map_or_else(|| "-".into(), |r| format!("{:.2} x", r.median));
        write!(out, "| {} | {ratio} |", contestant.title())?;
        for (name, unit, _, divisor) in COLUMNS {
            let value = measure(name, unit, runs);
            write!(
                out,
                " {} |",
                value.map_or_else(|| "-".into(), |v| told(&v, *divisor))
            )?;
        }
        if storm {
            let kept = measure("kept", "viewers", runs);
            writeln!(
                out,
                " {} |",
                kept.map_or_else(|| "-".into(), |v| kept_of(&v, runs))
            )?;
            continue;
        }
        let lost: u64 = runs.iter().map(|run| run.delivery.lost).sum();
        writeln!(out, " {lost} |")?;
    }
    writeln!(out)
}

fn measure(name: &str, unit: &str, runs: &[Report]) -> Option<Spread> {
    let named = MEASURES.iter().find(|m| m.name == name && m.unit == unit);
    named?.of(runs)
}

/// How many viewers were kept, of how many.
fn kept_of(kept: &Spread, runs: &[Report]) -> String {
    let viewers = runs
        .iter()
        .filter_map(|run| Some(run.kept.as_ref()?.viewers));
    format!("{} of {}", told(kept, 1.0), viewers.max().unwrap_or(0))
}

fn told(spread: &Spread, divisor: f64) -> String {
    let digits = match spread.median / divisor {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    let number = |value: f64| format!("{:.digits$}", value / divisor);
    let median = number(spread.median);
    match spread.count {
        1 => median,
        _ => format!(
            "{median} ({} to {})",
            number(spread.min),
            number(spread.max)
        ),
    }
}
