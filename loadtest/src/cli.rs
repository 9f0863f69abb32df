//! The command line: arguments to library calls, results to text and exit codes.

mod compare;
mod impair;
mod output;
mod peers;
mod progress;
mod relay;
mod run;
mod series;
mod work;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Exit code of a command that could not be understood.
const EXIT_USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    name = "weir-loadtest",
    version,
    about = "Loads a relay with publishers and viewers and reports what it measured",
    after_help = "Without a command it runs once, with the options of `run`.",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward TCP and UDP through a bad network: delay, jitter, loss, reorder, rate, blackholes
    Impair(Box<impair::ImpairArgs>),
    /// Publish streams, watch them many times, and report what that cost the relay
    Run(Box<run::RunArgs>),
    /// Find out how many viewers a relay serves before it is late or loses something
    Search(Box<series::SearchArgs>),
    /// Run with several numbers of viewers, to draw cost and latency over them
    Sweep(Box<series::SweepArgs>),
    /// Run the same work through Weir, moq-relay and nginx-rtmp, and print the table of ratios
    Peers(Box<peers::PeersArgs>),
    /// Compare the runs of two files
    Compare(compare::CompareArgs),
    /// List the workloads that have a name
    Profiles,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = match cli.command {
        None => run::run(&cli.run),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Search(args)) => series::search(&args),
        Some(Command::Sweep(args)) => series::sweep(&args),
        Some(Command::Peers(args)) => peers::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Profiles) => profiles(),
        Some(Command::Impair(args)) => impair::run(&args),
    };
    result.unwrap_or_else(|error| {
        // Nowhere is left to report to when standard error is gone.
        let _ = writeln!(io::stderr(), "weir-loadtest: {error:#}");
        ExitCode::FAILURE
    })
}

fn profiles() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for profile in crate::load::profiles() {
        writeln!(out, "{:<20} {}", profile.name, profile.about)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what clap has to say: help and the version are no mistakes.
fn refuse(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(EXIT_USAGE)
    } else {
        ExitCode::SUCCESS
    }
}
