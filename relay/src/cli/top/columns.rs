//! What the tables show of a stream and of a viewer, and in which words.

use crate::stats::snapshot::{
    LatencySnapshot, PublisherSnapshot, StreamSnapshot, TrackSnapshot, ViewerSnapshot,
};
use std::fmt::Write;

/// What stands for a number that is not known.
const NOTHING: &str = "-";

/// A column of a table over `T`.
pub(super) struct Column<T> {
    pub(super) title: &'static str,
    /// Numbers stand to the right.
    pub(super) right: bool,
    /// Columns with the highest rank go first when the terminal is narrow.
    pub(super) rank: u8,
    /// Width that the column keeps on a screen, so that changing numbers do not move the others.
    pub(super) least: usize,
    /// Widest cell on a screen; longer ones are cut. Printed tables cut nothing.
    pub(super) widest: u16,
    pub(super) cell: fn(&T) -> String,
}

const fn text<T>(title: &'static str, rank: u8, widest: u16, cell: fn(&T) -> String) -> Column<T> {
    Column {
        title,
        right: false,
        rank,
        least: 0,
        widest,
        cell,
    }
}

const fn number<T>(title: &'static str, rank: u8, cell: fn(&T) -> String) -> Column<T> {
    Column {
        title,
        right: true,
        rank,
        least: 0,
        widest: 16,
        cell,
    }
}

const fn times<T>(title: &'static str, rank: u8, cell: fn(&T) -> String) -> Column<T> {
    Column {
        least: "999us/999ms".len(),
        ..number(title, rank, cell)
    }
}

/// The columns of a stream; latencies are p50/p99.
pub(super) const STREAM: [Column<StreamSnapshot>; 14] = [
    text("STREAM", 0, 32, |s| clean(&s.name)),
    text("STATE", 4, 9, |s| s.state.name().to_owned()),
    number("VIEWERS", 1, |s| s.subscribers.to_string()),
    number("MBIT/S", 3, |s| {
        megabits(s.tracks.iter().map(|t| t.bitrate_bps).sum())
    }),
    number("WARN", 4, |s| s.warnings.len().to_string()),
    times("INGEST", 7, |s| pair(&s.latency_us.ingest)),
    times("QUEUE", 6, |s| pair(&s.latency_us.queue)),
    times("SEND", 5, |s| pair(&s.latency_us.send)),
    times("RELAY", 2, |s| pair(&s.latency_us.relay)),
    times("ACK", 8, |s| pair(&s.latency_us.ack)),
    times("JITTER", 9, |s| {
        match (s.arrival_jitter_us.p50, s.arrival_jitter_us.p99) {
            (Some(p50), Some(p99)) => format!("{}/{}", time(p50), time(p99)),
            _ => NOTHING.to_owned(),
        }
    }),
    number("SKEW", 10, |s| {
        s.av_skew_us.map_or_else(|| NOTHING.to_owned(), signed_time)
    }),
    text("MEDIA", 11, 44, |s| media(&s.tracks)),
    text("ENCODER", 12, 40, |s| clean(&s.publisher.encoder)),
];

/// The columns of a viewer.
pub(super) const VIEWER: [Column<ViewerSnapshot>; 10] = [
    text("VIEWER", 0, 47, |v| clean(&v.addr)),
    text("VIA", 7, 12, |v| clean(&v.transport)),
    text("DRAFT", 8, 10, |v| clean(&v.draft)),
    number("RTT", 2, |v| time(v.rtt_us)),
    number("BEHIND", 1, |v| format!("{}ms", v.behind_ms)),
    number("SKIPPED", 3, |v| {
        let skipped = v.objects_skipped;
        (skipped.behind + skipped.reset).to_string()
    }),
    number("SENT", 4, |v| size(v.bytes_out)),
    number("CWND", 6, |v| size(v.cwnd_bytes)),
    number("SINCE", 5, |v| duration(v.connected_s)),
    text("PROGRAM", 9, 40, |v| clean(&v.implementation)),
];

/// A table as text: every column, as wide as its cells.
pub(super) fn plain<T>(columns: &[Column<T>], rows: &[T]) -> String {
    let mut lines = vec![String::new(); rows.len() + 1];
    for column in columns {
        let cells = std::iter::once(column.title.to_owned());
        let cells: Vec<_> = cells.chain(rows.iter().map(column.cell)).collect();
        let width = cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(&cells) {
            let pad = " ".repeat(width - self::width(cell));
            let gap = if line.is_empty() { "" } else { "  " };
            let (before, after) = if column.right {
                (pad.as_str(), "")
            } else {
                ("", pad.as_str())
            };
            line.extend([gap, before, cell, after]);
        }
    }
    let mut text = String::new();
    for line in &lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Cells of `text` in a terminal.
pub(super) fn width(text: &str) -> usize {
    ratatui::text::Line::from(text).width()
}

/// Peers choose names and versions: a terminal must not take them for commands, nor must an
/// invisible character make one look like another.
pub(super) fn clean(text: &str) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    text.chars()
        .map(|c| if is_invisible(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Control characters, and the marks that join, turn around or take no place.
fn is_invisible(c: char) -> bool {
    let marks = [
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
    ];
    c.is_control() || marks.iter().any(|range| range.contains(&c))
}

/// Codec, size and rate of every track.
pub(super) fn media(tracks: &[TrackSnapshot]) -> String {
    let words = tracks.iter().map(|track| {
        let mut words = clean(&track.codec);
        if let (Some(width), Some(height)) = (track.width, track.height) {
            words.push_str(&format!(" {width}x{height}"));
        }
        if let Some(fps) = track.fps {
            words.push_str(&format!(" {fps}fps"));
        }
        if let Some(rate) = track.samplerate {
            words.push_str(&format!(" {}kHz", f64::from(rate) / 1e3));
        }
        words
    });
    let words = words.collect::<Vec<_>>().join(", ");
    if words.is_empty() {
        NOTHING.to_owned()
    } else {
        words
    }
}

/// What the way from the upstream relay takes, behind its name.
pub(super) fn way(publisher: &PublisherSnapshot) -> String {
    let hop = publisher.hop.unwrap_or_default();
    match (hop.latency_us, hop.path_us.zip(hop.hops)) {
        (Some(last), Some((path, hops))) if hops > 1 => {
            format!(", {} away, {} over {hops} hops", time(last), time(path))
        }
        (Some(last), _) => format!(", {} away", time(last)),
        (None, _) => String::new(),
    }
}

/// p50/p99.
pub(super) fn pair(latency: &LatencySnapshot) -> String {
    if latency.count == 0 {
        return NOTHING.to_owned();
    }
    format!("{}/{}", time(latency.p50), time(latency.p99))
}

/// Microseconds in the unit that needs few digits.
pub(super) fn time(micros: u64) -> String {
    let ms = micros as f64 / 1e3;
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..9_950 => format!("{ms:.1}ms"),
        9_950..999_500 => format!("{ms:.0}ms"),
        _ => format!("{:.1}s", ms / 1e3),
    }
}

fn signed_time(micros: i64) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    format!("{sign}{}", time(micros.unsigned_abs()))
}

fn megabits(bps: u64) -> String {
    format!("{:.2}", bps as f64 / 1e6)
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e3 => format!("{bytes}B"),
        ..1e6 => format!("{:.0}kB", bytes / 1e3),
        ..1e9 => format!("{:.1}MB", bytes / 1e6),
        _ => format!("{:.2}GB", bytes / 1e9),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_few_digits_at_every_size() {
        for (micros, words) in [
            (0, "0us"),
            (999, "999us"),
            (1_000, "1.0ms"),
            (9_949, "9.9ms"),
            (9_950, "10ms"),
            (999_499, "999ms"),
            (999_500, "1.0s"),
            (60_000_000, "60.0s"),
        ] {
            assert_eq!(time(micros), words);
        }
        assert_eq!(signed_time(-1_500), "-1.5ms");
        assert_eq!(signed_time(40_000), "+40ms");
    }

    #[test]
    fn sizes_and_durations_are_short() {
        let sizes = [999, 14_720, 1_200_000, 3_000_000_000].map(size);
        assert_eq!(sizes, ["999B", "15kB", "1.2MB", "3.00GB"]);
        assert_eq!([9, 75, 7_260].map(duration), ["9s", "1m15s", "2h01m"]);
    }

    #[test]
    fn what_peers_send_cannot_drive_the_terminal() {
        assert_eq!(
            clean("a\x1b[2Jb\r\nc\u{9b}"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}"
        );
        assert_eq!(clean("live/\u{202e}mac"), "live/\u{fffd}mac");
        assert_eq!(clean("kamera/größe"), "kamera/größe");
    }

    #[test]
    fn a_printed_table_is_aligned() {
        let columns = [
            text("NAME", 0, 9, |v: &ViewerSnapshot| v.addr.clone()),
            number("N", 0, |v: &ViewerSnapshot| v.rtt_us.to_string()),
            text("END", 0, 9, |_: &ViewerSnapshot| "x".into()),
        ];
        let row = |addr: &str, rtt_us| ViewerSnapshot {
            addr: addr.into(),
            rtt_us,
            ..ViewerSnapshot::default()
        };
        assert_eq!(
            plain(&columns, &[row("größe", 7), row("b", 1_000)]),
            "NAME      N  END\ngröße     7  x\nb      1000  x\n"
        );
    }
}
