//! Reports to the terminal and to files.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use anyhow::Context;

use super::run::FileArgs;
use crate::load::{Report, html};

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether standard output is taken by JSON.
pub(super) fn silent(files: &FileArgs) -> bool {
    let paths = [&files.json, &files.jsonl];
    paths.into_iter().flatten().any(|path| is_stdout(path))
}

/// Prints a report, unless standard output is for JSON.
pub(super) fn text(files: &FileArgs, report: &Report) -> anyhow::Result<()> {
    if !silent(files) {
        write!(io::stdout(), "{report}").context("standard output")?;
    }
    Ok(())
}

/// Writes the files that were asked for.
pub(super) fn files(files: &FileArgs, reports: &[Report]) -> anyhow::Result<()> {
    if let Some(path) = &files.json {
        write_to(path, false, |out| json(out, reports))?;
    }
    if let Some(path) = &files.jsonl {
        write_to(path, true, |out| {
            reports.iter().try_for_each(|report| {
                serde_json::to_writer(&mut *out, report)?;
                writeln!(out)
            })
        })?;
    }
    if let Some(path) = &files.html {
        let title = match reports {
            [only] => format!("Load run: {}", only.plan.label),
            _ => format!("{} load runs", reports.len()),
        };
        write_to(path, false, |out| {
            out.write_all(html(&title, reports).as_bytes())
        })?;
    }
    Ok(())
}

/// One report as an object, several one behind the other.
fn json(out: &mut dyn Write, reports: &[Report]) -> io::Result<()> {
    reports.iter().try_for_each(|report| {
        serde_json::to_writer_pretty(&mut *out, report)?;
        writeln!(out)
    })
}

pub(super) fn write_to(
    path: &Path,
    append: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    if is_stdout(path) {
        return write(&mut io::stdout().lock()).context("standard output");
    }
    let name = || format!("cannot write {}", path.display());
    let mut file = match append {
        true => OpenOptions::new().append(true).create(true).open(path),
        false => File::create(path),
    }
    .with_context(name)?;
    write(&mut file).with_context(name)
}
