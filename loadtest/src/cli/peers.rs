//! `weir-loadtest peers`: the same work through Weir and its peers, in turns.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, value_parser};

use super::{
    output::{self, write_to},
    progress::Screen,
    relay::weir,
    run::{FileArgs, exit_code},
    work::WorkArgs,
};
use crate::{
    load::{self, Plan, Report},
    peers::{Contestant, Programs, Running, Sitting, markdown},
};

/// The workloads of the table.
const WORK: &str = "fanout,small-frames";

#[derive(Args, Clone, Debug)]
pub(super) struct PeersArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// The workloads, by name; --profile is one
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = WORK)]
    #[arg(conflicts_with = "profile")]
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
    let works = match &args.work.profile {
        Some(name) => std::slice::from_ref(name),
        None => &args.works,
    };
    let plans: Vec<(&str, Plan)> = works
        .iter()
        .map(|name| Ok((name.as_str(), args.work.plan_of(name)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut failed = 0;
    let mut sittings = Vec::new();
    for (work, plan) in &plans {
        sittings.push(sit(
            args,
            (work, plan),
            contestants,
            &programs,
            &mut failed,
        )?);
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
    if failed > 0 {
        // What did run is in the table and in the files all the same.
        bail!("{failed} runs failed; what was said of each stands above");
    }
    Ok(exit_code(&reports))
}

/// All rounds of one workload. A run that fails is told and counted, and the others go on: a
/// sitting takes long, and one contestant's failure says nothing about the rest.
fn sit(
    args: &PeersArgs,
    (work, plan): (&str, &Plan),
    contestants: &[Contestant],
    programs: &Programs,
    failed: &mut usize,
) -> anyhow::Result<Sitting> {
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
            match once(*contestant, plan, programs) {
                Ok(report) => {
                    for problem in &report.problems {
                        writeln!(io::stderr(), "  INVALID: {problem}")?;
                    }
                    reports.push(report);
                }
                Err(error) => {
                    *failed += 1;
                    writeln!(io::stderr(), "  FAILED: {error:#}")?;
                }
            }
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

/// One run of one contestant.
fn once(contestant: Contestant, plan: &Plan, programs: &Programs) -> anyhow::Result<Report> {
    let plan = contestant.plan(plan);
    let mut running = Running::start(contestant, programs)?;
    let mut screen = Screen::new(&plan);
    let report = load::run(&plan, &running.relay, &mut |progress| {
        screen.show(&progress)
    });
    drop(screen);
    report.map_err(|error| match running.keep_folder() {
        Some(folder) => anyhow!("{error} (its log is in {})", folder.display()),
        None => error.into(),
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
