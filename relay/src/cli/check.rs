//! `weir check FILE`: is this configuration right? And what may be in one: `--schema`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::config::{Config, File, Options};

/// Arguments of `weir check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Print the JSON schema of configuration files instead, for editors
    #[arg(long)]
    schema: bool,
}

/// Reads the file as `serve` would, and says what is wrong with it.
#[expect(clippy::print_stdout, reason = "the answer")]
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let Some(path) = args.file.as_ref().filter(|_| !args.schema) else {
        // Its reader may stop early, as `head` does.
        writeln!(io::stdout(), "{:#}", File::schema()).context("standard output")?;
        return Ok(ExitCode::SUCCESS);
    };
    let checked = File::read(path).and_then(|file| Config::new(&Options::default(), &file));
    Ok(match checked {
        Ok(_) => {
            println!("{}: ok", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => super::usage(&error.into()),
    })
}
