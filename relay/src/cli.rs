//! The command line: one file a subcommand.

mod allocator;
pub mod check;
pub mod key;
pub mod pull;
pub mod serve;
pub mod token;
pub mod top;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

/// A live media relay: RTMP in, Media over QUIC out, and where the latency went.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay (the default command)
    Serve(serve::ServeArgs),
    /// Play a stream into a pipe or a file, as FLV
    Pull(pull::PullArgs),
    /// Watch a relay's streams and their latency in the terminal
    Top(top::TopArgs),
    /// Check a configuration file
    Check(check::CheckArgs),
    /// Make a stream key, or a key set for tokens
    Key(key::KeyArgs),
    /// Make a token, or show what is in one
    Token(token::TokenArgs),
}

/// Exit code for bad usage or configuration (sysexits' EX_USAGE).
const EX_USAGE: u8 = 64;

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr.
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let command = arguments.command;
    let result = match command.unwrap_or_else(|| Command::Serve(serve::ServeArgs::default())) {
        Command::Serve(args) => serve::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Top(args) => top::run(args),
        Command::Check(args) => check::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Token(args) => token::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says in one line why the program ends. Where that cannot be said, the exit code does.
fn complain(error: &anyhow::Error) {
    let command = Arguments::command();
    let _ = writeln!(std::io::stderr(), "{}: {error:#}", command.get_name());
}

/// Says why an argument or a configuration is wrong, for exit code 64.
fn usage(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(EX_USAGE)
}

/// Resolves when the user or the system asks the program to end: SIGINT or SIGTERM.
#[cfg(unix)]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
