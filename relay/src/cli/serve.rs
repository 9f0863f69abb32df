//! `weir serve`: the relay.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::allocator;
use crate::config::{Config, Options};
use crate::demo;
use crate::relay::{Addrs, Applied, Relay, Reloader};

/// Arguments of `weir serve`.
#[derive(clap::Args, Debug, Default)]
pub struct ServeArgs {
    #[command(flatten)]
    options: Options,
    /// Also stream a small built-in clip, as live/demo
    #[arg(long)]
    demo: bool,
}

/// Serves until SIGINT or SIGTERM.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = match Config::read(&args.options) {
        Ok(config) => config,
        Err(error) => return Ok(super::usage(&error.into())),
    };
    if config.limits.memory.is_none() {
        allocator::keep_freed_memory();
    }
    log_to_stderr();
    // Control work is light and rare: one thread, apart from those that carry media.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weir-control")
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let shutdown = super::signal()?;
        let relay = Relay::start(&config, &args.options)?;
        announce(&relay, args.demo)?;
        tokio::spawn(reload_at_hangup(relay.reloader()));
        let demo = args.demo.then(|| tokio::spawn(show_demo(relay.addrs())));
        let all_left = relay.run(shutdown).await;
        if let Some(demo) = demo {
            demo.abort();
        }
        Ok(match all_left {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(SOME_CUT),
        })
    })
}

/// Exit code of a relay that stopped as it was told to, and had to cut some off.
const SOME_CUT: u8 = 3;

/// Reads the configuration anew at each SIGHUP.
#[cfg(unix)]
async fn reload_at_hangup(reloader: Arc<Reloader>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::warn!(%error, "SIGHUP will not reload the configuration"),
    };
    while hangup.recv().await.is_some() {
        match reloader.reload() {
            Ok(Applied {
                applied,
                needs_restart,
            }) => tracing::info!(?applied, ?needs_restart, "read the configuration anew"),
            Err(error) => tracing::warn!(%error, "the configuration stays as it was"),
        }
    }
}

#[cfg(not(unix))]
async fn reload_at_hangup(_: Arc<Reloader>) {
    std::future::pending().await
}

/// Tells programs where the relay listens, a `name=addr` line each, and people what to do.
fn announce(relay: &Relay, demo: bool) -> anyhow::Result<()> {
    let addrs = relay.addrs();
    let mut stdout = std::io::stdout().lock();
    let written = write!(stdout, "{addrs}").and_then(|()| {
        let (rtmp, http) = (addrs.rtmp.port(), addrs.http.port());
        let quic = addrs.quic.port();
        if stdout.is_terminal() {
            writeln!(stdout, "\n  push   rtmp://localhost:{rtmp}/live/cam")?;
            writeln!(
                stdout,
                "  pull   weir pull moqt://localhost:{quic}/live/cam --insecure | ffplay -"
            )?;
            writeln!(stdout, "  watch  http://localhost:{http}/")?;
            if demo {
                writeln!(stdout, "  demo   {}", demo_url(http))?;
            }
            writeln!(stdout)?;
        }
        writeln!(stdout, "ready")?;
        stdout.flush()
    });
    written.context("stdout: cannot say where the relay listens")
}

/// Streams the built-in clip until somebody else does under its name, or the relay stops.
async fn show_demo(addrs: Addrs) {
    info!(watch = demo_url(addrs.http.port()), "streaming the demo");
    if let Err(reason) = demo::publish(addrs.rtmp).await {
        warn!(%reason, "the demo is over");
    }
}

fn demo_url(http_port: u16) -> String {
    format!("http://localhost:{http_port}/watch/{}", demo::STREAM)
}

fn log_to_stderr() {
    // A viewer that closes its tab is no warning, which is what the adapter makes of it.
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would be told where it happened, by a call that panics when that cannot be written
        // either: a log without room is no reason to end.
        .log_internal_errors(false)
        .init();
}
