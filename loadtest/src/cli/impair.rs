//! `weir-loadtest impair`: proxies until interrupted, then counters.

use std::{
    io::{self, Write},
    net::SocketAddr,
    num::NonZeroU64,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use crate::{
    impair::{Impairment, LinkConfig, LinkCounters, Proxy, Window},
    units::{self, Route},
};

/// How often the proxies are asked whether they still run.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);

/// What can be set for both directions and again for one of them.
macro_rules! knobs {
    ($name:ident, $prefix:literal, $heading:literal) => {
        #[derive(Args, Clone, Debug, Default)]
        #[command(next_help_heading = $heading)]
        struct $name {
            #[arg(id = concat!($prefix, "delay"), long = concat!($prefix, "delay"))]
            #[arg(value_name = "TIME", value_parser = units::duration)]
            #[arg(help = "Delay, as in 50ms")]
            delay: Option<Duration>,
            #[arg(id = concat!($prefix, "jitter"), long = concat!($prefix, "jitter"))]
            #[arg(value_name = "TIME", value_parser = units::duration)]
            #[arg(help = "The delay varies evenly by as much as this, up and down")]
            jitter: Option<Duration>,
            #[arg(id = concat!($prefix, "loss"), long = concat!($prefix, "loss"))]
            #[arg(value_name = "SHARE", value_parser = units::share)]
            #[arg(help = "Share of datagrams lost, as in 2% (UDP only)")]
            loss: Option<f64>,
            #[arg(id = concat!($prefix, "reorder"), long = concat!($prefix, "reorder"))]
            #[arg(value_name = "SHARE", value_parser = units::share)]
            #[arg(help = "Share of datagrams late enough to be overtaken (UDP only)")]
            reorder: Option<f64>,
            #[arg(id = concat!($prefix, "reorder-delay"))]
            #[arg(long = concat!($prefix, "reorder-delay"))]
            #[arg(value_name = "TIME", value_parser = units::duration)]
            #[arg(help = "How late those are [default: 10ms]")]
            reorder_delay: Option<Duration>,
            #[arg(id = concat!($prefix, "duplicate"), long = concat!($prefix, "duplicate"))]
            #[arg(value_name = "SHARE", value_parser = units::share)]
            #[arg(help = "Share of datagrams that arrive twice (UDP only)")]
            duplicate: Option<f64>,
            #[arg(id = concat!($prefix, "rate"), long = concat!($prefix, "rate"))]
            #[arg(value_name = "RATE", value_parser = units::rate)]
            #[arg(help = "Rate limit, as in 5mbit")]
            rate: Option<NonZeroU64>,
            #[arg(id = concat!($prefix, "burst"), long = concat!($prefix, "burst"))]
            #[arg(value_name = "BYTES", value_parser = units::bytes)]
            #[arg(help = "Bytes that pass the rate limit at once [default: 3kB]")]
            burst: Option<u64>,
            #[arg(id = concat!($prefix, "queue"), long = concat!($prefix, "queue"))]
            #[arg(value_name = "BYTES", value_parser = units::bytes)]
            #[arg(help = "Bytes that wait for the rate limit [default: 262kB]")]
            queue: Option<u64>,
            #[arg(id = concat!($prefix, "blackhole"), long = concat!($prefix, "blackhole"))]
            #[arg(value_name = "FROM..TO", value_parser = units::span)]
            #[arg(help = "Nothing passes from and to these times after the start; repeatable")]
            blackhole: Vec<Window>,
        }

        impl $name {
            /// Sets what was given on the command line.
            fn apply(&self, config: &mut LinkConfig) {
                set(&mut config.delay, self.delay);
                set(&mut config.jitter, self.jitter);
                set(&mut config.loss, self.loss);
                set(&mut config.reorder, self.reorder);
                set(&mut config.reorder_delay, self.reorder_delay);
                set(&mut config.duplicate, self.duplicate);
                set(&mut config.rate_bps, self.rate.map(Some));
                set(&mut config.burst_bytes, self.burst);
                set(&mut config.queue_bytes, self.queue);
                config.blackholes.extend(&self.blackhole);
            }
        }
    };
}

knobs!(Both, "", "Both directions");
knobs!(Up, "up-", "From clients to the target only");
knobs!(Down, "down-", "From the target to clients only");

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("routes").args(["udp", "tcp"]).required(true).multiple(true)))]
pub(super) struct ImpairArgs {
    /// Forward UDP, as in 127.0.0.1:5000=127.0.0.1:4443; repeatable
    #[arg(long, value_name = "LISTEN=TARGET")]
    udp: Vec<Route>,
    /// Forward TCP, as in 127.0.0.1:1936=127.0.0.1:1935; repeatable
    #[arg(long, value_name = "LISTEN=TARGET")]
    tcp: Vec<Route>,
    /// The same seed makes the same decisions about the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    both: Both,
    #[command(flatten)]
    up: Up,
    #[command(flatten)]
    down: Down,
}

impl ImpairArgs {
    /// The link of each direction: up, down.
    fn links(&self) -> (LinkConfig, LinkConfig) {
        let mut up = LinkConfig::default();
        self.both.apply(&mut up);
        let mut down = up.clone();
        self.up.apply(&mut up);
        self.down.apply(&mut down);
        (up, down)
    }

    fn start(&self) -> anyhow::Result<Vec<(&'static str, Proxy)>> {
        let kinds: [(_, _, Start); 2] = [
            ("udp", &self.udp, Impairment::udp),
            ("tcp", &self.tcp, Impairment::tcp),
        ];
        let mut proxies = Vec::new();
        for (name, routes, start) in kinds {
            for Route { listen, target } in routes {
                let (up, down) = self.links();
                let proxy = start(*listen, *target, up, down, self.seed).with_context(|| {
                    format!("cannot listen on {name} {listen} (port 0 takes a free port)")
                });
                proxies.push((name, proxy?));
            }
        }
        Ok(proxies)
    }
}

/// [`Impairment::udp`] or [`Impairment::tcp`].
type Start = fn(SocketAddr, SocketAddr, LinkConfig, LinkConfig, u64) -> io::Result<Proxy>;

pub(super) fn run(args: &ImpairArgs) -> anyhow::Result<ExitCode> {
    let proxies = args.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before the ready line, which invites the interrupt.
        let interrupted = Interrupt::new()?;
        let mut out = io::stdout().lock();
        for (name, proxy) in &proxies {
            writeln!(out, "{name}={}", proxy.local_addr())?;
        }
        writeln!(out, "ready")?;
        out.flush()?;
        tokio::select! {
            () = interrupted.wait() => {}
            failure = failure(&proxies) => return failure,
        }
        for (name, proxy) in &proxies {
            let counters = proxy.counters();
            let addr = proxy.local_addr();
            writeln!(out, "{name} {addr} up: {}", Told(&counters.up))?;
            writeln!(out, "{name} {addr} down: {}", Told(&counters.down))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Resolves when a proxy has stopped on its own.
async fn failure(proxies: &[(&'static str, Proxy)]) -> anyhow::Result<ExitCode> {
    loop {
        for (name, proxy) in proxies {
            if let Some(error) = proxy.failure() {
                let addr = proxy.local_addr();
                return Err(error).with_context(|| format!("the {name} proxy {addr} stopped"));
            }
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

/// The two signals that end a run in good order.
struct Interrupt {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            interrupt,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Counters as one line of `name=value`.
struct Told<'a>(&'a LinkCounters);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LinkCounters {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            duplicated,
            reordered,
            dropped_blackhole,
            dropped_loss,
            dropped_queue,
            dropped_proxy,
        } = self.0;
        write!(
            f,
            "packets_in={packets_in} bytes_in={bytes_in} packets_out={packets_out} "
        )?;
        write!(
            f,
            "bytes_out={bytes_out} duplicated={duplicated} reordered={reordered} "
        )?;
        write!(
            f,
            "dropped_blackhole={dropped_blackhole} dropped_loss={dropped_loss} "
        )?;
        write!(
            f,
            "dropped_queue={dropped_queue} dropped_proxy={dropped_proxy}"
        )
    }
}
