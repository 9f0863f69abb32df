//! Charts as SVG: lines over a linear or logarithmic scale, and bars. Colours come from the page.

use std::fmt::Write;

/// The drawing's size and the room for labels around the plot, in units of SVG.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// Marks along an axis, about.
const MARKS: f64 = 5.0;

/// Points of a line that get a dot with a tooltip, at most.
const DOTS_MAX: usize = 120;

/// What is drawn.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    pub(super) lines: Vec<Line<'a>>,
}

/// A direction of a chart.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    /// Equal steps are equal factors.
    pub(super) log: bool,
}

/// A line, or bars.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
    /// Each point is a bar from 0, as wide as its distance from the point before.
    pub(super) bars: bool,
}

/// Values of an axis on a length.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        if min > max {
            let from = if log { 1.0 } else { 0.0 };
            return Self {
                from,
                to: 10.0,
                log,
            };
        }
        match log {
            true => Self {
                from: min,
                to: max.max(min * 10.0),
                log,
            },
            false => Self {
                from: min.min(0.0),
                to: if max > 0.0 { max * 1.05 } else { 1.0 },
                log,
            },
        }
    }

    /// Where a value lies, of 1.
    fn place(&self, value: f64) -> f64 {
        let (from, to, value) = match self.log {
            true => (self.from.ln(), self.to.ln(), value.max(self.from).ln()),
            false => (self.from, self.to, value),
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Round values to mark.
    fn marks(&self) -> Vec<f64> {
        if self.log {
            let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
            let many = decades.clone().count() > 5;
            let steps: &[f64] = if many { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let marks = decades.flat_map(|d| steps.iter().map(move |step| step * 10_f64.powi(d)));
            return marks
                .filter(|mark| (self.from..=self.to).contains(mark))
                .collect();
        }
        let rough = (self.to - self.from) / MARKS;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
        let step = step
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.from / step).ceil();
        let marks = (0..).map(|nth| (first + f64::from(nth)) * step);
        marks.take_while(|mark| *mark <= self.to).collect()
    }
}

/// A number with a few digits: 0.25, 12, 3.4k, 12M.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    text + unit
}

/// Text that stands in a page.
pub(super) fn escape(text: &str) -> String {
    let entity = |c| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        c => String::from(c),
    };
    text.chars().map(entity).collect()
}

impl Chart<'_> {
    /// The chart as an SVG element.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Scale::of(points().map(|point| point.0), self.x.log);
        let y = Scale::of(points().map(|point| point.1), self.y.log);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">\
             <title>{0}</title>",
            escape(self.title)
        );
        // Writing to a string does not fail, here and below.
        let _ = self.axes(&mut out, x, y);
        for (nth, line) in self.lines.iter().enumerate() {
            let _ = match line.bars {
                true => bars(&mut out, line, nth, x, y),
                false => polyline(&mut out, line, nth, x, y),
            };
        }
        let _ = self.legend(&mut out);
        out + "</svg>"
    }

    fn axes(&self, out: &mut String, x: Scale, y: Scale) -> std::fmt::Result {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for mark in y.marks() {
            let at = vertical(y, mark);
            write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
                 <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                short(mark)
            )?;
        }
        for mark in x.marks() {
            let at = horizontal(x, mark);
            write!(
                out,
                "<line class=\"tick\" x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{}\"/>\
                 <text class=\"mark\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 17.0,
                short(mark)
            )?;
        }
        write!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text class=\"label\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"label\" x=\"{}\" y=\"14\">{}</text>",
            HEIGHT - 6.0,
            escape(self.x.label),
            6.0,
            escape(self.y.label),
        )
    }

    fn legend(&self, out: &mut String) -> std::fmt::Result {
        if self.lines.len() < 2 {
            return Ok(());
        }
        let mut at = WIDTH - RIGHT;
        for (nth, line) in self.lines.iter().enumerate().rev() {
            write!(
                out,
                "<text class=\"label\" x=\"{at:.1}\" y=\"14\" text-anchor=\"end\">{}</text>",
                escape(line.name)
            )?;
            at -= 8.0 + 7.0 * line.name.chars().count() as f64;
            write!(
                out,
                "<line class=\"line c{nth}\" x1=\"{:.1}\" y1=\"10\" x2=\"{at:.1}\" y2=\"10\"/>",
                at - 16.0
            )?;
            at -= 28.0;
        }
        Ok(())
    }
}

fn horizontal(scale: Scale, value: f64) -> f64 {
    LEFT + scale.place(value) * (WIDTH - LEFT - RIGHT)
}

fn vertical(scale: Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - scale.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn polyline(out: &mut String, line: &Line<'_>, nth: usize, x: Scale, y: Scale) -> std::fmt::Result {
    let place = |(at, value): &(f64, f64)| (horizontal(x, *at), vertical(y, *value));
    write!(out, "<polyline class=\"line c{nth}\" points=\"")?;
    for (at, value) in line.points.iter().map(place) {
        write!(out, "{at:.1},{value:.1} ")?;
    }
    write!(out, "\"/>")?;
    let each = line.points.len().div_ceil(DOTS_MAX).max(1);
    for point in line.points.iter().step_by(each) {
        let (at, value) = place(point);
        write!(
            out,
            "<circle class=\"dot c{nth}\" cx=\"{at:.1}\" cy=\"{value:.1}\" r=\"2.5\">\
             <title>{} {} at {}</title></circle>",
            escape(line.name),
            short(point.1),
            short(point.0)
        )?;
    }
    Ok(())
}

fn bars(out: &mut String, line: &Line<'_>, nth: usize, x: Scale, y: Scale) -> std::fmt::Result {
    let mut left = LEFT;
    for (to, value) in &line.points {
        let right = horizontal(x, *to);
        let top = vertical(y, *value);
        write!(
            out,
            "<rect class=\"bar c{nth}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\"><title>up to {}: {}</title></rect>",
            (right - left - 1.0).max(0.5),
            HEIGHT - BOTTOM - top,
            short(*to),
            short(*value)
        )?;
        left = right;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_inside() {
        let linear = Scale {
            from: 0.0,
            to: 37.0,
            log: false,
        };
        assert_eq!(linear.marks(), [0.0, 10.0, 20.0, 30.0]);
        let log = Scale {
            from: 50.0,
            to: 5_000.0,
            log: true,
        };
        assert_eq!(
            log.marks(),
            [50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0]
        );
        assert!((log.place(500.0) - 0.5).abs() < 1e-9);
        assert_eq!((log.place(50.0), log.place(9e9)), (0.0, 1.0));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.25, 3.0, 12.34, 480.0, 12_000.0, 3.84e6].map(short);
        assert_eq!(texts, ["0.25", "3", "12.3", "480", "12k", "3.84M"]);
    }

    #[test]
    fn a_chart_without_points_or_with_equal_ones_is_drawn() {
        for points in [Vec::new(), vec![(1.0, 5.0), (2.0, 5.0)], vec![(0.0, 0.0)]] {
            for log in [false, true] {
                let axis = Axis { label: "<x>", log };
                let line = |bars| Line {
                    name: "a & b",
                    points: points.clone(),
                    bars,
                };
                let chart = Chart {
                    title: "t",
                    x: axis,
                    y: axis,
                    lines: vec![line(false), line(true)],
                };
                let svg = chart.svg();
                assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
                assert!(svg.contains("&lt;x&gt;") && svg.contains("a &amp; b"));
            }
        }
    }
}
