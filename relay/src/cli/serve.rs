//! `weir serve`: the relay.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, File, Options};
use crate::relay::Relay;

/// Arguments of `weir serve`.
#[derive(clap::Args, Debug, Default)]
pub struct ServeArgs {
    #[command(flatten)]
    options: Options,
}

/// Serves until SIGINT or SIGTERM.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = match configuration(&args.options) {
        Ok(config) => config,
        Err(error) => return Ok(super::usage(&error.into())),
    };
    log_to_stderr();
    // Control work is light and rare: one thread, apart from those that carry media.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weir-control")
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let shutdown = shutdown_signal()?;
        let relay = Relay::start(&config)?;
        announce(&relay)?;
        relay.run(shutdown).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn configuration(options: &Options) -> Result<Config, ConfigError> {
    let file = match &options.config {
        Some(path) => File::read(path)?,
        None => File::default(),
    };
    Config::new(options, &file)
}

/// Tells programs where the relay listens, a `name=addr` line each, and people what to do.
fn announce(relay: &Relay) -> anyhow::Result<()> {
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
            writeln!(stdout, "  watch  http://localhost:{http}/\n")?;
        }
        writeln!(stdout, "ready")?;
        stdout.flush()
    });
    written.context("stdout: cannot say where the relay listens")
}

fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("WEIR_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

#[cfg(unix)]
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
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
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
