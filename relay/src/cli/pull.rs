//! `weir pull`: a player for pipes. Subscribes over QUIC or WebTransport, writes FLV.

mod client;
mod flv;
mod media;
mod moving;
mod order;
mod streams;
mod target;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use weir_protocol::moqt::Version;

use crate::endpoint::Verifier;
use flv::FlvWriter;
use moving::Playing;
use target::Target;

/// Arguments of `weir pull`.
#[derive(clap::Args, Debug)]
pub struct PullArgs {
    /// Address of the stream: moqt://HOST:PORT/APP/KEY, or https:// for WebTransport; where a
    /// relay wants a path of its own, moqt://HOST:PORT/PATH#APP/KEY
    url: String,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stop after this much time from the first frame: 500ms, 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Wait this long for the stream to be published: 500ms, 10s, 5m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    wait: Duration,
    /// Speak this draft of MoQT only, 18 to 22; else the newest that the relay has
    #[arg(long, value_name = "NUMBER", value_parser = draft)]
    draft: Option<Version>,
    /// Accept any certificate
    #[arg(long, conflicts_with = "cert_sha256")]
    insecure: bool,
    /// Accept the certificate with this SHA-256 (hex), which the relay tells at /certificate.sha256
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    cert_sha256: Option<String>,
}

/// Plays until the stream ends, the duration is over, or the reader of the pipe leaves.
pub fn run(args: &PullArgs) -> anyhow::Result<ExitCode> {
    let mut target = match Target::parse(&args.url) {
        Ok(target) => target,
        Err(error) => return Ok(super::usage(&error.into())),
    };
    if args.output.is_none() && io::stdout().is_terminal() {
        let advice = "stdout is a terminal: pipe it into a player (| ffplay -) or give -o FILE";
        return Ok(super::usage(&anyhow::anyhow!(advice)));
    }
    if let Some(hex) = &args.cert_sha256 {
        target.relay.verifier = Verifier::Sha256(hex.clone());
    } else if args.insecure {
        target.relay.verifier = Verifier::Insecure;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let drafts = args
            .draft
            .map_or_else(|| Version::ALL.to_vec(), |draft| vec![draft]);
        let mut playing = Playing::start(target, drafts, args.wait).await?;
        let output: Box<dyn Write> = match &args.output {
            Some(path) => {
                let file = File::create(path);
                Box::new(file.with_context(|| format!("cannot write {}", path.display()))?)
            }
            None => Box::new(io::stdout().lock()),
        };
        let result = copy(&mut playing, output, args.duration).await;
        playing.close().await;
        result
    })
}

async fn copy(
    playing: &mut Playing,
    output: Box<dyn Write>,
    duration: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let mut writer = FlvWriter::new(BufWriter::new(output), playing.description());
    let interrupted = super::signal()?;
    tokio::pin!(interrupted);
    let end = tokio::time::sleep(FOREVER);
    tokio::pin!(end);
    let mut started = false;
    loop {
        let written = tokio::select! {
            frame = playing.next() => match frame? {
                Some(frame) => {
                    if let (false, Some(duration)) = (started, duration) {
                        end.as_mut().reset(tokio::time::Instant::now() + duration);
                    }
                    started = true;
                    writer.write(&frame)
                }
                None => break,
            },
            () = &mut end => break,
            () = &mut interrupted => break,
        };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.context("cannot write the stream")?,
        }
    }
    if !started {
        bail!("the stream ended before its first frame");
    }
    match writer.finish() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the stream")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let advice = "give a whole number with its unit: 500ms, 10s, 5m or 1h";
    let number: u64 = number.parse().map_err(|_| advice.to_owned())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(advice.to_owned()),
    };
    Ok(Duration::from_millis(number.saturating_mul(ms)))
}

fn draft(text: &str) -> Result<Version, String> {
    let number = text.trim_start_matches("moqt-").parse().ok();
    number.and_then(Version::from_number).ok_or_else(|| {
        let known: Vec<_> = Version::ALL
            .iter()
            .rev()
            .map(|v| v.number().to_string())
            .collect();
        format!("not a draft that we speak; these are {}", known.join(", "))
    })
}

fn sha256(text: &str) -> Result<String, String> {
    let hex: String = text.chars().filter(|c| *c != ':').collect();
    match hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(hex.to_ascii_lowercase()),
        false => Err("a SHA-256 is 64 hexadecimal digits".to_owned()),
    }
}

/// Longer than anyone watches.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "5 s", "-1s", "5days"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hash_may_have_colons_and_capitals() {
        let hex = "AB:".repeat(31) + "CD";
        assert_eq!(sha256(&hex).unwrap(), "ab".repeat(31) + "cd");
        assert!(sha256("abcd").is_err());
    }
}
