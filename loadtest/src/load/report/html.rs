//! A report as one HTML file: nothing is loaded from elsewhere, and no script runs.

use std::fmt::Write;

use super::{
    BYTES_PER_GB, Interval, Report,
    chart::{Axis, Chart, Line, escape},
    compare::MEASURES,
};

const STYLE: &str = include_str!("report.css");

/// Draws runs: each with its charts, and what they have in common above.
pub fn page(title: &str, reports: &[Report]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut out, title, reports);
    out
}

fn write_page(out: &mut String, title: &str, reports: &[Report]) -> std::fmt::Result {
    let title = escape(title);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )?;
    if let Some(first) = reports.first() {
        write_host(out, first)?;
    }
    if reports.len() > 1 {
        write_summary(out, reports)?;
    }
    for (nth, report) in (1..).zip(reports) {
        if reports.len() > 1 {
            let viewers = report.plan.viewers;
            let label = escape(&report.plan.label);
            writeln!(out, "<h2>Run {nth}: {label}, {viewers} viewers</h2>")?;
        }
        write_run(out, report)?;
    }
    writeln!(
        out,
        "<details><summary>The numbers as JSON</summary>\n<pre>"
    )?;
    for report in reports {
        let json = serde_json::to_string(report).unwrap_or_default();
        writeln!(out, "{}", escape(&json))?;
    }
    writeln!(out, "</pre></details>\n</body>\n</html>")
}

fn write_host(out: &mut String, report: &Report) -> std::fmt::Result {
    let host = &report.host;
    writeln!(
        out,
        "<p class=\"dim\">{} · {} · {} cores, {:.0} GB · Linux {} · {}</p>",
        escape(&host.date),
        escape(&host.cpu),
        host.cores,
        host.memory_bytes as f64 / BYTES_PER_GB,
        escape(&host.kernel),
        escape(&host.versions.join(", ")),
    )
}

fn write_run(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "<p>{}</p>", escape(&report.plan.to_string()))?;
    match report.is_valid() {
        true => writeln!(
            out,
            "<p class=\"verdict good\">✓ Everything arrived, once, in order and unchanged.</p>"
        )?,
        false => writeln!(out, "<p class=\"verdict bad\">✗ This run is invalid.</p>")?,
    }
    for problem in &report.problems {
        writeln!(out, "<p class=\"bad\">{}</p>", escape(problem))?;
    }
    for warning in &report.warnings {
        writeln!(out, "<p class=\"note\">{}</p>", escape(warning))?;
    }
    write_tiles(out, report)?;
    writeln!(out, "<div class=\"charts\">")?;
    for chart in [
        latency(report),
        distribution(report),
        cpu(report),
        rate(report),
    ] {
        let title = escape(chart.title);
        writeln!(
            out,
            "<figure><figcaption>{title}</figcaption>{}</figure>",
            chart.svg()
        )?;
    }
    writeln!(out, "</div>")?;
    write_details(out, report)
}

fn write_tiles(out: &mut String, report: &Report) -> std::fmt::Result {
    let latency = report.latency_us;
    let ms = |micros: u64| format!("{:.2} ms", micros as f64 / 1e3);
    let rate = report.delivery.bytes as f64 * 8e-6 / report.window_s;
    let mut tiles = vec![
        ("latency, median", ms(latency.p50)),
        ("latency, 99th percentile", ms(latency.p99)),
        ("delivered", format!("{rate:.0} Mbit/s")),
        (
            "lost",
            format!("{} of {}", report.delivery.lost, report.delivery.expected),
        ),
        ("first frame, median", ms(report.first_frame_us.p50)),
    ];
    if let Some(server) = &report.server {
        let memory = server.rss_per_viewer_bytes as f64 / 1e3;
        tiles.insert(
            0,
            ("relay's CPU", format!("{:.2} s/GB", server.cpu_s_per_gb)),
        );
        tiles.push(("relay's memory a viewer", format!("{memory:.0} kB")));
    }
    writeln!(out, "<div class=\"tiles\">")?;
    for (name, value) in tiles {
        writeln!(
            out,
            "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>"
        )?;
    }
    writeln!(out, "</div>")
}

/// A line of a chart over the window: one value an interval, where there is one.
fn over_time<'a>(
    report: &Report,
    name: &'a str,
    value: impl Fn(&Interval) -> Option<f64>,
) -> Line<'a> {
    let points = report.intervals.iter();
    let points = points.filter_map(|interval| Some((interval.at_s, value(interval)?)));
    Line {
        name,
        points: points.collect(),
        bars: false,
    }
}

const TIME: Axis<'_> = Axis {
    label: "seconds",
    log: false,
};

fn latency(report: &Report) -> Chart<'_> {
    let line = |name, of: fn(&Interval) -> u64| {
        over_time(report, name, move |interval| {
            let any = interval.latency_us.count > 0;
            any.then(|| of(interval) as f64 / 1e3)
        })
    };
    Chart {
        title: "Latency, from when a frame was due to the viewer's read of it",
        x: TIME,
        y: Axis {
            label: "milliseconds",
            log: true,
        },
        lines: vec![
            line("p50", |interval| interval.latency_us.p50),
            line("p90", |interval| interval.latency_us.p90),
            line("p99", |interval| interval.latency_us.p99),
            line("max", |interval| interval.latency_us.max),
        ],
    }
}

fn distribution(report: &Report) -> Chart<'_> {
    let empty = |bar: &&super::Bar| bar.count == 0;
    let bars = report.latency_bars.iter().skip_while(empty);
    let bars = bars.map(|bar| (bar.up_to_us as f64 / 1e3, bar.count as f64));
    Chart {
        title: "How many frames took how long",
        x: Axis {
            label: "milliseconds",
            log: true,
        },
        y: Axis {
            label: "frames",
            log: false,
        },
        lines: vec![Line {
            name: "frames",
            points: bars.collect(),
            bars: true,
        }],
    }
}

fn cpu(report: &Report) -> Chart<'_> {
    let percent = |cores: f64| cores * 100.0;
    let relay = over_time(report, "relay", |interval| {
        interval.server_cores.map(percent)
    });
    let tester = over_time(report, "tester", |interval| {
        Some(percent(interval.client_cores))
    });
    Chart {
        title: "CPU",
        x: TIME,
        y: Axis {
            label: "% of a core",
            log: false,
        },
        lines: vec![relay, tester],
    }
}

fn rate(report: &Report) -> Chart<'_> {
    Chart {
        title: "Delivered to all viewers together",
        x: TIME,
        y: Axis {
            label: "Mbit/s",
            log: false,
        },
        lines: vec![over_time(report, "delivered", |interval| {
            Some(interval.rate_bps / 1e6)
        })],
    }
}

fn write_details(out: &mut String, report: &Report) -> std::fmt::Result {
    let text = report.to_string();
    let lines = text.lines().skip(1).collect::<Vec<_>>().join("\n");
    writeln!(
        out,
        "<details><summary>As on the terminal</summary><pre>{}</pre></details>",
        escape(&lines)
    )
}

/// Several runs: a row each, and the cost over the number of viewers where that differs.
fn write_summary(out: &mut String, reports: &[Report]) -> std::fmt::Result {
    writeln!(
        out,
        "<div class=\"table\"><table><tr><th>run</th><th>viewers</th>"
    )?;
    for measure in MEASURES {
        writeln!(out, "<th>{} [{}]</th>", measure.name, measure.unit)?;
    }
    writeln!(out, "<th></th></tr>")?;
    for report in reports {
        let verdict = match report.is_valid() {
            true => "<td class=\"good\">✓</td>",
            false => "<td class=\"bad\">invalid</td>",
        };
        let label = escape(&report.plan.label);
        writeln!(out, "<tr><td>{label}</td><td>{}</td>", report.plan.viewers)?;
        for measure in MEASURES {
            let value = measure.of(std::slice::from_ref(report));
            let value = value.map(|value| super::chart::short(value.median));
            writeln!(out, "<td>{}</td>", value.unwrap_or_default())?;
        }
        writeln!(out, "{verdict}</tr>")?;
    }
    writeln!(out, "</table></div>")?;
    let viewers = || reports.iter().map(|report| report.plan.viewers);
    match viewers().min() == viewers().max() {
        true => Ok(()),
        false => write_curves(out, reports),
    }
}

/// Measures over the number of viewers.
fn write_curves(out: &mut String, reports: &[Report]) -> std::fmt::Result {
    let viewers = Axis {
        label: "viewers",
        log: true,
    };
    let line = |name, value: fn(&Report) -> Option<f64>| {
        let point = |report: &Report| Some((report.plan.viewers as f64, value(report)?));
        let mut points: Vec<(f64, f64)> = reports.iter().filter_map(point).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Line {
            name,
            points,
            bars: false,
        }
    };
    let charts = [
        (
            "The relay's CPU for each gigabyte delivered",
            Axis {
                label: "CPU s/GB",
                log: false,
            },
            vec![line("relay", |r| Some(r.server?.cpu_s_per_gb))],
        ),
        (
            "Latency",
            Axis {
                label: "milliseconds",
                log: true,
            },
            vec![
                line("p50", |r| Some(r.latency_us.p50 as f64 / 1e3)),
                line("p90", |r| Some(r.latency_us.p90 as f64 / 1e3)),
                line("p99", |r| Some(r.latency_us.p99 as f64 / 1e3)),
            ],
        ),
    ];
    writeln!(out, "<div class=\"charts\">")?;
    for (title, y, lines) in charts {
        let chart = Chart {
            title,
            x: viewers,
            y,
            lines,
        };
        let svg = chart.svg();
        writeln!(
            out,
            "<figure><figcaption>{title}</figcaption>{svg}</figure>"
        )?;
    }
    writeln!(out, "</div>")
}
