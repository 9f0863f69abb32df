//! A report for a terminal.

use std::fmt;

use super::{
    super::{Interleave, Kind, Percentiles, Track, Transport},
    BYTES_PER_GB, ChurnUse, ClientUse, Delivery, Plan, Report, ServerUse, SlowUse,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery {
            bytes,
            objects,
            expected,
            lost,
            ..
        } = self.delivery;
        let gigabytes = bytes as f64 / BYTES_PER_GB;
        let rate_mbit = bytes as f64 * 8e-6 / self.window_s;
        writeln!(f, "{}", self.plan)?;
        writeln!(
            f,
            "delivered    {gigabytes:.3} GB, {objects} objects in {:.1} s ({rate_mbit:.0} Mbit/s)",
            self.window_s
        )?;
        writeln!(f, "lost         {lost} of {expected} frames")?;
        writeln!(f, "latency      {}", self.latency_us)?;
        writeln!(f, "first frame  {}", self.first_frame_us)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "kept         {kept}")?;
        }
        if let Some(slow) = &self.slow {
            writeln!(f, "slow         {slow}")?;
        }
        if let Some(churn) = &self.churn {
            writeln!(f, "came, went   {churn}")?;
        }
        match &self.server {
            Some(server) => writeln!(f, "relay        {server}")?,
            None => writeln!(f, "relay        cost unknown (--pid names its process)")?,
        }
        writeln!(f, "tester       {}", self.client)?;
        for warning in &self.warnings {
            writeln!(f, "note: {warning}")?;
        }
        for problem in &self.problems {
            writeln!(f, "INVALID: {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carrier = match self.transport {
            Transport::Quic => "QUIC",
            Transport::WebTransport => "WebTransport",
            Transport::Rtmp => "RTMP",
        };
        write!(f, "{} viewers", self.viewers)?;
        if self.streams > 1 {
            write!(f, " of {} streams", self.streams)?;
        }
        write!(f, " over {carrier}")?;
        for track in &self.tracks {
            write!(f, ", {track}")?;
        }
        if self.interleave == Interleave::Muxed && self.tracks.len() > 1 {
            write!(f, ", audio with the next video frame")?;
        }
        Ok(())
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = 1e9 / self.interval_ns as f64;
        let rate = self.bitrate_bps();
        let (rate, unit) = match self.kind {
            Kind::Video => (rate / 1e6, "Mbit/s"),
            Kind::Audio => (rate / 1e3, "kbit/s"),
        };
        let name = self.kind.name();
        write!(
            f,
            "{name} {rate:.2} {unit} ({per_second:.1}/s, groups of {}",
            self.group
        )?;
        match (self.varied, self.first_bytes == self.rest_bytes) {
            (true, _) => write!(f, ", sizes like an encoder's)"),
            (false, true) => write!(f, ", {} bytes each)", self.rest_bytes),
            (false, false) => write!(f, ", {} and {} bytes)", self.first_bytes, self.rest_bytes),
        }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50, p90, p99, max, ..
        } = self;
        write!(f, "p50 {p50} us, p90 {p90}, p99 {p99}, max {max}")
    }
}

impl fmt::Display for ServerUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total_s = self.user_s + self.system_s;
        write!(
            f,
            "{:.2} CPU s/GB ({total_s:.2} s: {:.2} user, {:.2} system), RSS {} MB, {} kB a viewer, \
             {:.0} context switches/s",
            self.cpu_s_per_gb,
            self.user_s,
            self.system_s,
            self.rss_with_viewers_bytes / 1_000_000,
            self.rss_per_viewer_bytes / 1_000,
            self.switches_per_s,
        )
    }
}

impl fmt::Display for ClientUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:.2} CPU s, {:.0} us a viewer and second, busiest thread {:.0} % of a core",
            self.cpu_s,
            self.cpu_us_per_viewer_s,
            self.busiest_thread * 100.0
        )?;
        writeln!(f, "  viewers ran late by    {}", self.viewer_lag_us)?;
        write!(f, "  publishers ran late by {}", self.publisher_lag_us)
    }
}

impl fmt::Display for SlowUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} viewers missed {} of {} frames, {} streams were given up for them",
            self.viewers, self.missed, self.expected, self.streams_broken
        )
    }
}

impl fmt::Display for ChurnUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} viewers, {} failed, first frame {}",
            self.joined, self.failed, self.first_frame_us
        )
    }
}
