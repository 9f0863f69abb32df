//! Which relay: one that runs, at its addresses, or `weir` to be started.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use url::Url;

use crate::load::{Door, Publish, Relay, Transport};

/// Ports of URLs without one.
const MOQT_PORT: u16 = 443;
const RTMP_PORT: u16 = 1935;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Relay")]
pub(super) struct RelayArgs {
    /// Where viewers go: moqt://HOST:PORT (QUIC), https://HOST:PORT (WebTransport) or
    /// rtmp://HOST:PORT; without it `weir serve` is started for this run
    #[arg(long, value_name = "URL")]
    target: Option<Url>,
    /// Where publishers go: rtmp://HOST:PORT or moqt://HOST:PORT [default: the target]
    #[arg(long, value_name = "URL", requires = "target")]
    publish_to: Option<Url>,
    /// Where a relay takes RTMP publishers, while --moqt says where it serves viewers
    #[arg(
        long,
        value_name = "ADDR",
        requires = "moqt",
        conflicts_with = "target"
    )]
    rtmp: Option<SocketAddr>,
    /// Where a relay serves raw QUIC, while --rtmp says where it takes publishers
    #[arg(
        long,
        value_name = "ADDR",
        requires = "rtmp",
        conflicts_with = "target"
    )]
    moqt: Option<SocketAddr>,
    /// The process of a relay that runs, to measure what the run costs it
    #[arg(long)]
    pid: Option<u32>,
    /// What carries viewers to a relay that is started
    #[arg(long, value_enum, conflicts_with = "target")]
    transport: Option<TransportArg>,
    /// What carries publishers to a relay that is started
    #[arg(long, value_enum, conflicts_with_all = ["target", "rtmp"])]
    publisher: Option<PublisherArg>,
    /// The relay to start [default: weir next to this program, or built by cargo]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["target", "rtmp"])]
    weir: Option<PathBuf>,
    /// A further argument for the relay that is started, as in --weir-arg=--shards=2; repeatable
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    weir_arg: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TransportArg {
    /// MoQT on QUIC
    Quic,
    /// MoQT on WebTransport
    Webtransport,
    /// RTMP
    Rtmp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PublisherArg {
    /// RTMP
    Rtmp,
    /// MoQT
    Moqt,
}

impl RelayArgs {
    /// What carries viewers.
    pub(super) fn transport(&self, usual: Transport) -> Transport {
        match (self.target.as_ref().map(Url::scheme), self.transport) {
            (Some("https"), _) | (None, Some(TransportArg::Webtransport)) => {
                Transport::WebTransport
            }
            (Some("rtmp"), _) | (None, Some(TransportArg::Rtmp)) => Transport::Rtmp,
            (Some(_), _) | (None, Some(TransportArg::Quic)) => Transport::Quic,
            (None, None) => usual,
        }
    }

    /// What carries publishers.
    pub(super) fn publish(&self, usual: Publish) -> Publish {
        let url = self.publish_to.as_ref().or(self.target.as_ref());
        match (url.map(Url::scheme), self.publisher) {
            (Some("rtmp"), _) | (None, Some(PublisherArg::Rtmp)) => Publish::Rtmp,
            (Some(_), _) | (None, Some(PublisherArg::Moqt)) => Publish::Moqt,
            (None, None) => usual,
        }
    }

    /// The relay of a run.
    pub(super) fn relay(&self) -> anyhow::Result<Relay> {
        if let Some(target) = &self.target {
            let watch = door(target)?;
            let publish = match &self.publish_to {
                Some(url) => door(url)?,
                // A session to publish by is raw QUIC, which has no page to be asked for.
                None => watch.clone(),
            };
            return Ok(Relay::Running {
                publish,
                watch,
                pid: self.pid,
            });
        }
        if let (Some(rtmp), Some(moqt)) = (self.rtmp, self.moqt) {
            return Ok(Relay::Running {
                publish: Door::local(rtmp),
                watch: Door::local(moqt),
                pid: self.pid,
            });
        }
        Ok(Relay::Start {
            program: weir(self.weir.as_deref())?,
            args: self.weir_arg.clone(),
        })
    }
}

/// Takes a URL apart. `moqt` stands for QUIC, `https` for WebTransport.
fn door(url: &Url) -> anyhow::Result<Door> {
    let port = match url.scheme() {
        "moqt" | "https" => MOQT_PORT,
        "rtmp" => RTMP_PORT,
        other => bail!("{url}: {other} is none of moqt, https and rtmp"),
    };
    let host = url.host_str().with_context(|| format!("{url}: no host"))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = url.port().unwrap_or(port);
    let addrs = (host.as_str(), port).to_socket_addrs();
    let mut addrs = addrs.with_context(|| format!("no address for {host}"))?;
    let addr = addrs
        .next()
        .ok_or_else(|| anyhow!("no address for {host}"))?;
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let path = match url.path() {
        "" => "/",
        path => path,
    };
    Ok(Door {
        addr,
        host,
        path: format!("{path}{query}"),
    })
}

/// The program of the relay: as named, or next to this one, or built now.
pub(super) fn weir(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    // Tests run from a folder below that of the programs.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("weir"))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => build(&own),
    }
}

/// Builds the relay with the cargo that built this program, in the same profile.
fn build(own: &Path) -> anyhow::Result<PathBuf> {
    let path = own.with_file_name("weir");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let advice = "--weir PATH names a relay, --target URL one that runs";
    if !manifest.is_file() {
        bail!("no relay at {}: {advice}", path.display());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "weir-relay", "--bin", "weir"]);
    command.arg("--manifest-path").arg(&manifest);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let folder = own
        .parent()
        .and_then(Path::parent)
        .context("no folder to build in")?;
    command.arg("--target-dir").arg(folder);
    writeln!(
        io::stderr(),
        "building the relay, which is not at {}: {command:?}",
        path.display()
    )?;
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run cargo to build weir; {advice}"))?;
    match status.success() && path.is_file() {
        true => Ok(path),
        false => bail!("the relay could not be built ({status}); {advice}"),
    }
}
