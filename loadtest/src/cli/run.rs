//! `weir-loadtest run`: arguments to a plan, a report to text, files and an exit code.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, value_parser};

use super::{output, progress::Screen, relay::RelayArgs, work::WorkArgs};
use crate::load::{self, Report};

/// Runs in a row at most: hours of them.
const MAX_REPEAT: u64 = 1_000;

#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    relay: RelayArgs,
    /// Run this often, each time from the start, so that a comparison has a spread
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=MAX_REPEAT))]
    repeat: u64,
    /// What to call the run in reports [default: the profile's name]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    #[command(flatten)]
    files: FileArgs,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Report")]
pub(super) struct FileArgs {
    /// Write the report as JSON (`-`: to standard output, instead of text)
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Append the report to this file as one line of JSON (`-`: to standard output)
    #[arg(long, value_name = "FILE")]
    pub(super) jsonl: Option<PathBuf>,
    /// Draw the report as one HTML file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut plan = args.work.plan()?;
    plan.publish = args.relay.publish(plan.publish);
    plan.transport = args.relay.transport(plan.transport);
    if let Some(label) = &args.label {
        plan.label.clone_from(label);
    }
    let relay = args.relay.relay()?;
    let mut reports = Vec::new();
    for _ in 0..args.repeat {
        let mut screen = Screen::new(&plan);
        let report = load::run(&plan, &relay, &mut |progress| screen.show(&progress));
        drop(screen);
        let report = report?;
        output::text(&args.files, &report)?;
        reports.push(report);
    }
    output::files(&args.files, &reports)?;
    if args.files.html.is_none() && !output::silent(&args.files) {
        writeln!(
            io::stderr(),
            "(--html FILE draws this, --json FILE keeps it)"
        )
        .context("standard error")?;
    }
    Ok(exit_code(&reports))
}

/// A run that lost something, or whose tester was too slow, has failed.
pub(super) fn exit_code(reports: &[Report]) -> ExitCode {
    match reports.iter().all(Report::is_valid) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
