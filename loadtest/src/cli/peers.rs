//! `weir-loadtest peers`: the same work through Weir and its peers, in turns.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::{Args, value_parser};

use super::{
    output::{self, write_to},
    progress::Screen,
    relay::weir,
    run::{FileArgs, exit_code},
    work::WorkArgs,
};
use crate::{
    load::{self, Report},
    peers::{Contestant, Programs, Running, Sitting, markdown},
};

/// The workloads of the table.
const WORK: &str = "fanout,small-frames";

#[derive(Args, Clone, Debug)]
pub(super) struct PeersArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// The workloads, by name
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = WORK)]
    works: Vec<String>,
    /// Who takes part: weir, weir-1, moq-relay, moq-relay-1, nginx
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = contestant)]
    only: Vec<Contestant>,
    /// Runs of each
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Weir [default: next to this program, or built by cargo]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// moq-relay
    #[arg(long, value_name = "PATH", default_value = "moq-relay")]
    moq_relay: PathBuf,
    /// nginx
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    nginx: PathBuf,
    /// nginx's RTMP module
    #[arg(long, value_name = "PATH")]
    #[arg(default_value = "/usr/lib/nginx/modules/ngx_rtmp_module.so")]
    nginx_rtmp: PathBuf,
    /// Write the table as Markdown to this file as well
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    #[command(flatten)]
    files: FileArgs,
}

fn contestant(text: &str) -> Result<Contestant, String> {
    let found = Contestant::ALL.into_iter().find(|one| one.name() == text);
    let names = Contestant::ALL.map(Contestant::name).join(", ");
    found.ok_or_else(|| format!("one of {names}"))
}

pub(super) fn run(args: &PeersArgs) -> anyhow::Result<ExitCode> {
    let programs = Programs {
        weir: weir(args.weir.as_deref())?,
        moq_relay: args.moq_relay.clone(),
        nginx: args.nginx.clone(),
        nginx_rtmp: args.nginx_rtmp.clone(),
    };
    let contestants = match args.only.as_slice() {
        [] => &Contestant::ALL[..],
        only => only,
    };
    let mut sittings = Vec::new();
    for work in &args.works {
        sittings.push(sit(args, work, contestants, &programs)?);
    }
    let versions = versions(&programs, contestants);
    let table = markdown(&sittings, &versions);
    if !output::silent(&args.files) {
        write!(io::stdout(), "{table}").context("standard output")?;
    }
    if let Some(path) = &args.table {
        write_to(path, false, |out| out.write_all(table.as_bytes()))?;
    }
    let runs = sittings.into_iter().flat_map(|sitting| sitting.runs);
    let reports: Vec<Report> = runs.flat_map(|(_, reports)| reports).collect();
    output::files(&args.files, &reports)?;
    Ok(exit_code(&reports))
}

/// All rounds of one workload.
fn sit(
    args: &PeersArgs,
    work: &str,
    contestants: &[Contestant],
    programs: &Programs,
) -> anyhow::Result<Sitting> {
    let plan = args.work.plan_of(work)?;
    let mut runs: Vec<(Contestant, Vec<Report>)> =
        contestants.iter().map(|one| (*one, Vec::new())).collect();
    for round in 1..=args.rounds {
        for (contestant, reports) in &mut runs {
            let title = contestant.title();
            writeln!(
                io::stderr(),
                "{work}, round {round} of {}: {title}",
                args.rounds
            )?;
            let plan = contestant.plan(&plan);
            let running = Running::start(*contestant, programs)?;
            let mut screen = Screen::new(&plan);
            let report = load::run(&plan, &running.relay, &mut |progress| {
                screen.show(&progress)
            });
            drop(screen);
            let report = report.with_context(|| format!("{title}, {work}"))?;
            for problem in &report.problems {
                writeln!(io::stderr(), "  INVALID: {problem}")?;
            }
            reports.push(report);
        }
    }
    if runs.is_empty() {
        bail!("nobody takes part");
    }
    Ok(Sitting {
        work: plan.to_string(),
        runs,
    })
}

/// What the programs say of themselves.
fn versions(programs: &Programs, contestants: &[Contestant]) -> Vec<String> {
    let mut versions = Vec::new();
    let mut ask = |takes_part: &[Contestant], program: &Path, flag: &str| {
        if contestants.iter().any(|one| takes_part.contains(one))
            && let Ok(output) = Command::new(program).arg(flag).output()
        {
            // nginx tells it on standard error.
            let told = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&told).into_owned();
            versions.extend(text.lines().next().map(|line| line.trim().to_owned()));
        }
    };
    ask(
        &[Contestant::Weir, Contestant::WeirOneShard],
        &programs.weir,
        "--version",
    );
    let moq = [Contestant::MoqRelay, Contestant::MoqRelayOneWorker];
    ask(&moq, &programs.moq_relay, "--version");
    ask(&[Contestant::Nginx], &programs.nginx, "-v");
    versions
}
