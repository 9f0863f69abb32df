//! `weir check FILE`: is this configuration right?

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, File, Options};

/// Arguments of `weir check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The configuration file
    file: PathBuf,
}

/// Reads the file as `serve` would, and says what is wrong with it.
#[expect(clippy::print_stdout, reason = "the answer")]
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let checked = File::read(&args.file).and_then(|file| Config::new(&Options::default(), &file));
    Ok(match checked {
        Ok(_) => {
            println!("{}: ok", args.file.display());
            ExitCode::SUCCESS
        }
        Err(error) => super::usage(&error.into()),
    })
}
