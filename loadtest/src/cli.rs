//! The command line: arguments to library calls, results to text and exit codes.

mod impair;
mod run;

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
    about = "Loads a relay, and impairs networks on purpose"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward TCP and UDP through a bad network: delay, jitter, loss, reorder, rate, blackholes
    Impair(Box<impair::ImpairArgs>),
    /// Publish one stream, watch it many times, and report what that cost the relay
    Run(run::RunArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return refuse(&error),
    };
    let result = match command {
        Command::Impair(args) => impair::run(&args),
        Command::Run(args) => run::run(&args),
    };
    result.unwrap_or_else(|error| {
        // Nowhere is left to report to when standard error is gone.
        let _ = writeln!(io::stderr(), "weir-loadtest: {error:#}");
        ExitCode::FAILURE
    })
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
