//! Reports to the terminal and to files.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, bail};

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

/// Writes the files that were asked for. One that cannot be written keeps none of the others from
/// it: a run takes long.
pub(super) fn files(files: &FileArgs, reports: &[Report]) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    if let Some(path) = &files.json {
        errors.extend(write_to(path, false, |out| json(out, reports)).err());
    }
    if let Some(path) = &files.jsonl {
        let lines = write_to(path, true, |out| {
            reports.iter().try_for_each(|report| {
                serde_json::to_writer(&mut *out, report)?;
                writeln!(out)
            })
        });
        errors.extend(lines.err());
    }
    if let Some(path) = &files.html {
        let title = match reports {
            [only] => format!("Load run: {}", only.plan.label),
            _ => format!("{} load runs", reports.len()),
        };
        let page = html(&title, reports);
        errors.extend(write_to(path, false, |out| out.write_all(page.as_bytes())).err());
    }
    match errors.as_slice() {
        [] => Ok(()),
        errors => {
            let told: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!("{}", told.join("; "))
        }
    }
}

/// One report as an object, several one behind the other.
fn json(out: &mut dyn Write, reports: &[Report]) -> io::Result<()> {
    reports.iter().try_for_each(|report| {
        serde_json::to_writer_pretty(&mut *out, report)?;
        writeln!(out)
    })
}

/// Writes a file, or adds to it. What was written of it before there was no room is taken back:
/// half a line would spoil those that are added later.
pub(super) fn write_to(
    path: &Path,
    append: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    if is_stdout(path) {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = write(&mut out).and_then(|()| out.flush());
        return written.context("cannot write standard output");
    }
    let name = || format!("cannot write {}", path.display());
    let file = match append {
        true => OpenOptions::new().append(true).create(true).open(path),
        false => File::create(path),
    };
    let file = file.with_context(name)?;
    let before = file.metadata().with_context(name)?.len();
    let mut out = BufWriter::new(&file);
    let written = write(&mut out).and_then(|()| out.flush());
    // What is left in the buffer is not written after all.
    drop(out.into_parts());
    if written.is_err() {
        // Fails for what is no file, like a device, which has nothing to be taken back.
        let _ = file.set_len(before);
    }
    written.with_context(name)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("weir-output-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_full_disk_is_told_with_the_name_of_the_file() {
        let full = Path::new("/dev/full");
        let write = |out: &mut dyn Write| out.write_all(b"a report");
        for append in [false, true] {
            let error = format!("{:#}", write_to(full, append, write).unwrap_err());
            assert!(error.contains("/dev/full"), "{error}");
            assert!(error.contains("No space left"), "{error}");
        }
    }

    #[test]
    fn all_files_that_fail_are_told_and_the_others_are_written() {
        let html = path("all.html");
        let args = FileArgs {
            json: Some("/dev/full".into()),
            jsonl: Some("/no/such/folder/file".into()),
            html: Some(html.clone()),
        };
        let error = files(&args, &[]).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder/file"), "{error}");
        assert!(fs::read_to_string(&html).unwrap().contains("</html>"));
        fs::remove_file(html).unwrap();
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let path = path("half.jsonl");
        write_to(&path, true, |out| writeln!(out, "first")).unwrap();
        let half = write_to(&path, true, |out| {
            out.write_all(&[b'x'; 100_000])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(half.is_err());
        write_to(&path, true, |out| writeln!(out, "second")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");
        fs::remove_file(path).unwrap();
    }
}
