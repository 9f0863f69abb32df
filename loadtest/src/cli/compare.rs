//! `weir-loadtest compare`: ratios of two sets of runs, with their spread.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;

use crate::load::{
    Report, Spread,
    compare::{self, Row},
};

#[derive(Args, Clone, Debug)]
pub(super) struct CompareArgs {
    /// Runs to compare with: a file of --json or --jsonl
    base: PathBuf,
    /// Runs to compare
    new: PathBuf,
}

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let (base, new) = (read(&args.base)?, read(&args.new)?);
    let mut out = io::stdout().lock();
    let mut warnings = Vec::new();
    for (path, reports) in [(&args.base, &base), (&args.new, &new)] {
        let invalid = reports.iter().filter(|report| !report.is_valid()).count();
        if invalid > 0 {
            warnings.push(format!("{invalid} runs of {} are invalid", path.display()));
        }
    }
    warnings.extend(differences(&base, &new));
    writeln!(
        out,
        "{:<28} {:>22} {:>22}   new / base (least to most)",
        "", "base", "new"
    )?;
    for row in compare::compare(&base, &new) {
        writeln!(out, "{}", line(&row))?;
    }
    if base.len() < 2 || new.len() < 2 {
        warnings.push("a single run has no spread: --repeat 5 gives one".into());
    }
    for warning in warnings {
        writeln!(out, "note: {warning}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Vec<Report>> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(name)?;
    let reports = compare::read(&text).with_context(|| {
        format!(
            "{} is no report of this program's --json or --jsonl",
            name()
        )
    })?;
    if reports.is_empty() {
        bail!("{} holds no report", name());
    }
    Ok(reports)
}

/// What makes a comparison unfair.
fn differences(base: &[Report], new: &[Report]) -> Vec<String> {
    let (Some(base), Some(new)) = (base.first(), new.first()) else {
        return Vec::new();
    };
    let mut told = Vec::new();
    let mut check = |name: &str, base: String, new: String| {
        if base != new {
            told.push(format!("{name} differs: {base} / {new}"));
        }
    };
    check("work", base.plan.to_string(), new.plan.to_string());
    check("processor", base.host.cpu.clone(), new.host.cpu.clone());
    check("kernel", base.host.kernel.clone(), new.host.kernel.clone());
    told
}

fn line(row: &Row) -> String {
    let name = format!("{} [{}]", row.measure.name, row.measure.unit);
    let ratio = match row.ratio {
        Some(ratio) => format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.min, ratio.max),
        None => "-".into(),
    };
    format!(
        "{name:<28} {:>22} {:>22}   {ratio}",
        told(&row.base),
        told(&row.new)
    )
}

/// A value with its spread, where it has one.
fn told(spread: &Spread) -> String {
    let digits = match spread.median.abs() {
        value if value < 10.0 => 2,
        value if value < 1_000.0 => 1,
        _ => 0,
    };
    let number = |value: f64| format!("{value:.digits$}");
    match spread.count {
        1 => number(spread.median),
        _ => format!(
            "{} ({}..{})",
            number(spread.median),
            number(spread.min),
            number(spread.max)
        ),
    }
}
