//! How a run goes, on standard error: a bar and live figures, or a line now and then where nobody
//! looks at a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    clock::Clock,
    load::{Interval, Phase, Plan, Progress},
};

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// How often a line is printed where there is no terminal, in microseconds.
const LINE_US: u64 = 5_000_000;

/// Shows a run; what it shows is gone at its end.
pub(super) struct Screen {
    viewers: usize,
    window: Duration,
    bar: Option<ProgressBar>,
    clock: Clock,
    /// When the last line was printed, and in which phase.
    last: Option<(u64, Phase)>,
}

impl Screen {
    pub(super) fn new(plan: &Plan) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let template = "{prefix:>8} {bar:28.cyan/blue.dim} {elapsed:>4}  {msg}";
            let style = ProgressStyle::with_template(template);
            // A template that does not parse is shown as the library's own.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            viewers: plan.viewers,
            window: plan.window,
            bar,
            clock: Clock::start(),
            last: None,
        }
    }

    /// Shows where the run is.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        let name = match progress.phase {
            Phase::Start => "start",
            Phase::Join => "join",
            Phase::WarmUp => "warm up",
            Phase::Measure => "measure",
            Phase::Drain => "drain",
        };
        let message = match progress.interval {
            Some(interval) => figures(interval),
            None => format!("{} of {} viewers watch", progress.joined, self.viewers),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(name);
                bar.set_position((progress.share * STEPS as f64) as u64);
                bar.set_message(message);
            }
            None => self.line(progress, name, &message),
        }
    }

    fn line(&mut self, progress: &Progress<'_>, name: &str, message: &str) {
        let now_us = self.clock.now_us();
        let is_due = self.last.is_none_or(|(at_us, phase)| {
            let long_ago = now_us.saturating_sub(at_us) >= LINE_US;
            phase != progress.phase || long_ago
        });
        if !is_due {
            return;
        }
        self.last = Some((now_us, progress.phase));
        let of = match progress.phase {
            Phase::Measure => format!(" for {:.0?}", self.window),
            Phase::Start | Phase::Join | Phase::WarmUp | Phase::Drain => String::new(),
        };
        // Nowhere is left to tell when standard error is gone.
        let _ = writeln!(io::stderr(), "{name}{of}: {message}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What was measured last, in a few words.
fn figures(interval: &Interval) -> String {
    let latency = interval.latency_us;
    let ms = |micros: u64| micros as f64 / 1e3;
    let relay = interval
        .server_cores
        .map(|cores| format!("relay {:.0} %, ", cores * 100.0));
    format!(
        "{:.0} Mbit/s, p50 {:.2} ms, p99 {:.2} ms, {}tester {:.0} % CPU",
        interval.rate_bps / 1e6,
        ms(latency.p50),
        ms(latency.p99),
        relay.unwrap_or_default(),
        interval.client_cores * 100.0,
    )
}
