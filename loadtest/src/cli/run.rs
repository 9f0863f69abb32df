//! `weir-loadtest run`: arguments to a plan, a report to text, JSON and an exit code.

use std::{
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, value_parser};

use crate::{
    load::{self, MAX_FRAME_BYTES, MIN_FRAME_BYTES, Plan, Relay, Report},
    units,
};

/// Viewers at most: each has a socket, and descriptors are limited.
const MAX_VIEWERS: u64 = 10_000;

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Where the relay takes publishers; without it a relay is started for this run
    #[arg(long, value_name = "ADDR", requires = "moqt")]
    rtmp: Option<SocketAddr>,
    /// Where the relay serves raw QUIC
    #[arg(long, value_name = "ADDR", requires = "rtmp")]
    moqt: Option<SocketAddr>,
    /// The relay's process, to measure what the run costs it
    #[arg(long, requires = "rtmp")]
    pid: Option<u32>,
    /// The relay to start [default: weir, next to this program]
    #[arg(long, value_name = "PATH", conflicts_with = "rtmp")]
    weir: Option<PathBuf>,
    /// Application and key of the stream
    #[arg(long, value_name = "APP/KEY", default_value = "live/load", value_parser = stream_name)]
    stream: String,
    /// How many viewers
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=MAX_VIEWERS))]
    viewers: u64,
    /// Bytes of every frame
    #[arg(long, default_value_t = 16_000, value_parser = frame_bytes())]
    frame_bytes: u64,
    /// Frames per second
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(1..=1_000))]
    fps: u32,
    /// Frames per group
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u32).range(1..=100_000))]
    gop: u32,
    /// Length of the measured window
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    duration: Duration,
    /// Write the report as JSON to this file as well (`-`: to standard output, instead of text)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn frame_bytes() -> clap::builder::RangedU64ValueParser {
    value_parser!(u64).range(MIN_FRAME_BYTES as u64..=MAX_FRAME_BYTES as u64)
}

fn stream_name(text: &str) -> Result<String, &'static str> {
    match text.split_once('/') {
        Some((app, key)) if !app.is_empty() && !key.is_empty() => Ok(text.into()),
        Some(_) | None => Err("a stream is named by application and key, as in live/load"),
    }
}

impl RunArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        let relay = match (self.rtmp, self.moqt) {
            (Some(rtmp), Some(moqt)) => Relay::Running {
                rtmp,
                moqt,
                pid: self.pid,
            },
            _ => Relay::Start(self.weir.clone().map_or_else(weir_beside_us, Ok)?),
        };
        Ok(Plan {
            relay,
            stream: self.stream.clone(),
            viewers: self.viewers as usize,
            frame_bytes: self.frame_bytes as usize,
            fps: self.fps,
            gop: self.gop,
            window: self.duration,
        })
    }
}

fn weir_beside_us() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(own.with_file_name("weir"))
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let report = load::run(&args.plan()?)?;
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => write_json(io::stdout().lock(), &report)?,
        Some(path) => {
            let name = || format!("cannot write {}", path.display());
            write_json(File::create(path).with_context(name)?, &report).with_context(name)?;
            write!(io::stdout(), "{report}")?;
        }
        None => write!(io::stdout(), "{report}")?,
    }
    let valid = report.problems.is_empty();
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write_json(mut out: impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)
}
