//! What makes a run invalid, and what to keep in mind.

use super::{super::ViewError, Delivery, PublishError, Report};

/// How late the tester's threads may run, in microseconds at the 99th percentile: a tenth of the
/// latencies that a player would notice. Beyond, latency and loss are the tester's own.
const LAG_LIMIT_US: u64 = 20_000;

/// The part of a core that a thread of viewers may use: beyond, it is never idle when something
/// arrives, and what is measured is its queue.
const BUSY_LIMIT: f64 = 0.9;

/// CPU of other programs that is worth a word, in cores.
const OTHERS_CORES: f64 = 0.2;

/// The least CPU of the relay that the kernel's ticks of 10 ms measure to some percent, in
/// seconds.
const CPU_S_MIN: f64 = 0.3;

impl Report {
    pub(super) fn find_problems(
        &self,
        failures: &[ViewError],
        published: Option<PublishError>,
    ) -> Vec<String> {
        let mut problems = self.wrong_deliveries();
        if !self.plan.storm {
            problems.extend(self.tester_faults());
        }
        if let Some(first) = failures.first().filter(|_| !self.plan.storm) {
            let early = failures.len();
            problems.push(format!(
                "{early} viewers ended early, the first because {first}"
            ));
        }
        if let Some(error) = published {
            problems.push(format!("a publisher ended early: {error}"));
        }
        problems
    }

    fn wrong_deliveries(&self) -> Vec<String> {
        let Delivery {
            expected,
            lost,
            corrupt,
            duplicates,
            misordered,
            gaps,
            streams_broken,
            ..
        } = self.delivery;
        // In a storm that is what is looked at.
        let expects_all = !self.plan.storm;
        let slow = self.slow.unwrap_or_default();
        let churn = self.churn.clone().unwrap_or_default();
        let excuse = churn.first_failure.unwrap_or_default();
        let checks = [
            (
                expected == 0 && slow.expected == 0,
                "no frame was sent inside the window".into(),
            ),
            (
                expects_all && lost > 0,
                format!("{lost} of {expected} frames were lost"),
            ),
            (corrupt > 0, format!("{corrupt} frames arrived corrupt")),
            (duplicates > 0, format!("{duplicates} frames arrived twice")),
            (
                misordered > 0,
                format!("{misordered} frames arrived out of order"),
            ),
            (gaps > 0, format!("object ids are missing in {gaps} places")),
            (
                expects_all && streams_broken > 0,
                format!("{streams_broken} streams were reset or cut"),
            ),
            (
                slow.corrupt > 0,
                format!("{} frames reached slow viewers corrupt", slow.corrupt),
            ),
            (
                slow.gaps > 0,
                format!("slow viewers miss objects inside {} streams", slow.gaps),
            ),
            (
                churn.failed > 0,
                format!(
                    "{} of {} viewers that came and went failed, the first because {excuse}",
                    churn.failed, churn.joined
                ),
            ),
            (
                churn.wrong > 0,
                format!(
                    "{} frames reached those who came and went wrong",
                    churn.wrong
                ),
            ),
        ];
        told(checks)
    }

    /// The tester's part in what was measured: why the numbers are not the relay's.
    pub fn tester_faults(&self) -> Vec<String> {
        let late = |whose: &str, p99: u64| {
            (
                p99 > LAG_LIMIT_US,
                format!("the {whose} ran late ({p99} us at p99): the tester was too slow"),
            )
        };
        let busy = self.client.busiest_thread;
        told([
            late("viewers' threads", self.client.viewer_lag_us.p99),
            late("publishers", self.client.publisher_lag_us.p99),
            (
                busy > BUSY_LIMIT,
                format!(
                    "a thread of viewers used {:.0} % of a core: the tester was the bottleneck \
                     (--threads gives it more)",
                    busy * 100.0
                ),
            ),
        ])
    }

    pub(super) fn find_warnings(&self) -> Vec<String> {
        let others = self.client.others_cores.unwrap_or(0.0);
        let dropped = self.client.udp_drops.unwrap_or(0);
        let server_s = self.server.map(|server| server.user_s + server.system_s);
        let server_dropped = self.server.and_then(|server| server.udp_drops).unwrap_or(0);
        let faults = match self.plan.storm {
            // All share one machine that is full.
            true => self.tester_faults(),
            false => Vec::new(),
        };
        let warnings = told([
            (
                others > OTHERS_CORES,
                format!("other programs used {others:.1} cores meanwhile"),
            ),
            (
                dropped > 0,
                format!("the tester's sockets were full for {dropped} datagrams, sent again"),
            ),
            (
                server_dropped > 0,
                format!("the relay's sockets were full for {server_dropped} datagrams"),
            ),
            (
                server_s.is_some_and(|seconds| seconds < CPU_S_MIN),
                "the relay used so little CPU that it is measured to 10 ms only: \
                 a longer --duration or more viewers tell more"
                    .into(),
            ),
        ]);
        faults.into_iter().chain(warnings).collect()
    }
}

fn told(checks: impl IntoIterator<Item = (bool, String)>) -> Vec<String> {
    let wrong = checks.into_iter().filter(|(is_so, _)| *is_so);
    wrong.map(|(_, text)| text).collect()
}
