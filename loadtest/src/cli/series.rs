//! `weir-loadtest search` and `sweep`: the same work with different numbers of viewers.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, value_parser};

use super::{
    output,
    progress::Screen,
    relay::RelayArgs,
    run::{FileArgs, exit_code},
    work::WorkArgs,
};
use crate::{
    load::{self, LoadError, Plan, Relay, Report, Search},
    units,
};

#[derive(Args, Clone, Debug)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    relay: RelayArgs,
    /// The relay serves well while 99 percent of the frames take at most this long
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = units::duration)]
    p99: Duration,
    /// Viewers of the first try
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..=50_000))]
    first: u64,
    /// Viewers at most
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u64).range(1..=50_000))]
    max: u64,
    /// How exact the answer is to be
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = units::share)]
    precision: f64,
    #[command(flatten)]
    files: FileArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    relay: RelayArgs,
    /// The numbers of viewers
    #[arg(long, value_delimiter = ',', default_value = "10,30,100,300,1000")]
    #[arg(value_parser = value_parser!(u64).range(1..=50_000))]
    counts: Vec<u64>,
    #[command(flatten)]
    files: FileArgs,
}

pub(super) fn search(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let (plan, relay) = prepare(&args.work, &args.relay)?;
    let limit_us = args.p99.as_micros() as u64;
    let mut search = Search::new(args.first as usize, args.max as usize, args.precision);
    let mut reports = Vec::new();
    let mut last_words = None;
    while let Some(viewers) = search.next() {
        let plan = with_viewers(&plan, viewers);
        let verdict = match attempt(&plan, &relay) {
            Ok(report) => {
                let verdict = judge(&report, limit_us);
                tell(&args.files, &line(&report, &verdict))?;
                reports.push(report);
                verdict
            }
            // Too many to be let in at all, if any were before.
            Err(error) if search.good > 0 => Verdict::Bad(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        if let Verdict::Tester(why) = verdict {
            last_words = Some(format!("the tester gave up before the relay did: {why}"));
            break;
        }
        if let Verdict::Bad(why) = &verdict {
            last_words = Some(format!("one step more: {why}"));
        }
        search.on_result(verdict == Verdict::Good);
    }
    let most = match search.bad {
        Some(_) => "",
        None => "at least ",
    };
    let text = format!("{most}{} viewers within {:?} at p99", search.good, args.p99);
    tell(&args.files, &text)?;
    if let Some(words) = last_words {
        tell(&args.files, &words)?;
    }
    output::files(&args.files, &reports)?;
    Ok(match search.good {
        0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

pub(super) fn sweep(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let (plan, relay) = prepare(&args.work, &args.relay)?;
    let mut reports = Vec::new();
    let mut failed = false;
    for viewers in &args.counts {
        match attempt(&with_viewers(&plan, *viewers as usize), &relay) {
            Ok(report) => {
                tell(&args.files, &line(&report, &judge(&report, u64::MAX)))?;
                reports.push(report);
            }
            // More than the relay lets in, perhaps: what ran before is worth its files.
            Err(error) if !reports.is_empty() => {
                tell(&args.files, &format!("{viewers:>7} viewers    {error}"))?;
                failed = true;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    output::files(&args.files, &reports)?;
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => exit_code(&reports),
    })
}

fn prepare(work: &WorkArgs, relay: &RelayArgs) -> anyhow::Result<(Plan, Relay)> {
    let mut plan = work.plan()?;
    plan.publish = relay.publish(plan.publish);
    plan.transport = relay.transport(plan.transport);
    let relay = relay.relay()?;
    Ok((plan, relay))
}

fn with_viewers(plan: &Plan, viewers: usize) -> Plan {
    Plan {
        viewers,
        ..plan.clone()
    }
}

fn attempt(plan: &Plan, relay: &Relay) -> Result<Report, LoadError> {
    let mut screen = Screen::new(plan);
    load::run(plan, relay, &mut |progress| screen.show(&progress))
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// The relay was too slow, or lost something.
    Bad(String),
    /// The tester was.
    Tester(String),
}

fn judge(report: &Report, limit_us: u64) -> Verdict {
    let p99 = report.latency_us.p99;
    if let Some(fault) = report.tester_faults().into_iter().next() {
        Verdict::Tester(fault)
    } else if let Some(problem) = report.problems.first() {
        Verdict::Bad(problem.clone())
    } else if p99 > limit_us {
        Verdict::Bad(format!("p99 is {p99} us"))
    } else {
        Verdict::Good
    }
}

fn line(report: &Report, verdict: &Verdict) -> String {
    let latency = report.latency_us;
    let cost = report.server.map(|server| {
        let kilobytes = server.rss_per_viewer_bytes as f64 / 1e3;
        format!(
            "{:6.2} CPU s/GB {kilobytes:6.0} kB a viewer",
            server.cpu_s_per_gb
        )
    });
    let verdict = match verdict {
        Verdict::Good => "good",
        Verdict::Bad(why) | Verdict::Tester(why) => why,
    };
    format!(
        "{:6} viewers {:8} us p50 {:8} us p99 {}  {verdict}",
        report.plan.viewers,
        latency.p50,
        latency.p99,
        cost.unwrap_or_default(),
    )
}

fn tell(files: &FileArgs, text: &str) -> anyhow::Result<()> {
    if !output::silent(files) {
        writeln!(io::stdout(), "{text}")?;
    }
    Ok(())
}
