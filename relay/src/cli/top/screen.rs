//! The live screen: a pure function of what is known and what is selected.

use super::client::Base;
use super::columns::{self, Column};
use crate::stats::Stage;
use crate::stats::health::Level;
use crate::stats::snapshot::{StreamDetail, StreamList, StreamSnapshot, ViewerSnapshot};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

/// Cells between two columns.
const GAP: u16 = 2;

/// Lines of the stage table: its title, its head and one line a stage.
const STAGE_LINES: u16 = 2 + Stage::COUNT as u16;

/// The fewest lines of the tables of streams and viewers: a title, a head and two rows.
const TABLE_LINES: u16 = 4;

/// Warnings of the selected stream that are shown, the gravest first; the table counts all.
const MAX_WARNINGS: usize = 3;

/// What is known and what is selected.
#[derive(Debug)]
pub(super) struct Screen {
    base: Base,
    streams: Vec<StreamSnapshot>,
    detail: Option<StreamDetail>,
    /// Why what is shown is old.
    failure: Option<String>,
    /// By name, since streams come and go between two answers.
    selected: Option<String>,
    table: TableState,
}

impl Screen {
    pub(super) fn new(base: Base, list: StreamList) -> Self {
        let mut screen = Self {
            base,
            streams: Vec::new(),
            detail: None,
            failure: None,
            selected: None,
            table: TableState::new(),
        };
        screen.on_streams(list, None);
        screen
    }

    /// Takes an answer.
    pub(super) fn on_streams(&mut self, list: StreamList, detail: Option<StreamDetail>) {
        self.streams = list.streams;
        self.failure = None;
        if self.position().is_none() {
            self.selected = self.streams.first().map(|stream| stream.name.clone());
        }
        // The answer may be to the question before the last key.
        self.detail = detail.filter(|detail| Some(&detail.stream.name) == self.selected.as_ref());
    }

    /// Takes the reason why there is no answer; what is known stays.
    pub(super) fn on_failure(&mut self, failure: String) {
        self.failure = Some(failure);
    }

    /// Moves the selection by `rows`, stopping at the ends. Says whether it changed.
    pub(super) fn select(&mut self, rows: isize) -> bool {
        let Some(last) = self.streams.len().checked_sub(1) else {
            return false;
        };
        let at = self
            .position()
            .unwrap_or(0)
            .saturating_add_signed(rows)
            .min(last);
        let name = self.streams.get(at).map(|stream| stream.name.clone());
        if name == self.selected {
            return false;
        }
        self.selected = name;
        self.detail = None;
        true
    }

    pub(super) fn selected(&self) -> Option<&str> {
        self.selected.as_deref()
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        let keys = Line::from(" q quit   up/down select ").dim();
        frame.render_widget(keys, foot);
        let position = self.position();
        let Some(stream) = position.and_then(|at| self.streams.get(at)) else {
            let words = "Nothing is live. Push a stream and it appears here.";
            frame.render_widget(Paragraph::new(words).block(block("Streams")), body);
            return;
        };
        let wanted = u16::try_from(self.streams.len() + 2).unwrap_or(u16::MAX);
        let warnings = warnings(stream);
        let alarm = match warnings.len() {
            0 => 0,
            lines => u16::try_from(lines + 1).unwrap_or(u16::MAX),
        };
        let spare = body
            .height
            .saturating_sub(STAGE_LINES + TABLE_LINES + alarm);
        let [streams, alarms, stages, viewers] = Layout::vertical([
            Constraint::Length(wanted.min(spare).max(TABLE_LINES)),
            Constraint::Length(alarm),
            Constraint::Length(STAGE_LINES),
            Constraint::Fill(1),
        ])
        .areas(body);
        if alarm > 0 {
            let title = block("Warnings of the selected stream");
            frame.render_widget(Paragraph::new(warnings).block(title), alarms);
        }
        draw_stages(frame, stages, stream);
        self.draw_viewers(frame, viewers);
        let (columns, widths) = fit(&columns::STREAM, &self.streams, streams.width);
        let table = table(&columns, &widths, &self.streams)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(block("Streams, latencies p50/p99"));
        self.table.select(position);
        frame.render_stateful_widget(table, streams, &mut self.table);
    }

    fn head(&self) -> Line<'_> {
        if let Some(failure) = &self.failure {
            return Line::from(format!(" {failure}")).red().bold();
        }
        let viewers: u64 = self.streams.iter().map(|stream| stream.subscribers).sum();
        let count = self.streams.len();
        Line::from(format!(
            " weir {}   streams {count}   viewers {viewers}",
            self.base
        ))
        .bold()
    }

    fn draw_viewers(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(detail) = &self.detail else {
            frame.render_widget(block("Viewers"), area);
            return;
        };
        // Whoever suffers comes first.
        let mut viewers: Vec<ViewerSnapshot> = detail.viewers.clone();
        viewers.sort_by(|a, b| (b.behind_ms, &a.addr).cmp(&(a.behind_ms, &b.addr)));
        let shown = usize::from(area.height.saturating_sub(2)).min(viewers.len());
        let name = columns::clean(&detail.stream.name);
        let count = viewers.len();
        let title = format!("Viewers of {name}, furthest behind first: {shown} of {count}");
        viewers.truncate(shown);
        let (columns, widths) = fit(&columns::VIEWER, &viewers, area.width);
        let table = table(&columns, &widths, &viewers).block(block(title));
        frame.render_widget(table, area);
    }

    fn position(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.streams
            .iter()
            .position(|stream| &stream.name == selected)
    }
}

/// A line for each of the gravest warnings: what is wrong, and what to do.
fn warnings(stream: &StreamSnapshot) -> Vec<Line<'static>> {
    let mut warnings: Vec<_> = stream.warnings.iter().collect();
    warnings.sort_by_key(|warning| warning.level == Level::Hint);
    let lines = warnings.into_iter().take(MAX_WARNINGS).map(|warning| {
        let text = columns::clean(&format!("{} {}", warning.message, warning.remedy));
        match warning.level {
            Level::Warning => Line::from(text).yellow().bold(),
            Level::Hint => Line::from(text).dim(),
        }
    });
    lines.collect()
}

fn draw_stages(frame: &mut Frame<'_>, area: Rect, stream: &StreamSnapshot) {
    let head = ["STAGE", "SAMPLES", "P50", "P90", "P99", "MAX"];
    let rows = Stage::ALL.map(|stage| {
        let latency = stream.latency_us.stage(stage);
        let times = [latency.p50, latency.p90, latency.p99, latency.max];
        let times = times.map(|time| match latency.count {
            0 => String::new(),
            _ => columns::time(time),
        });
        let numbers = std::iter::once(latency.count.to_string()).chain(times);
        let name = std::iter::once(Cell::from(stage.name()));
        Row::new(name.chain(numbers.map(|number| cell(number, true))))
    });
    let head = head
        .iter()
        .enumerate()
        .map(|(at, title)| cell((*title).to_owned(), at > 0));
    let media = columns::media(&stream.tracks);
    let encoder = columns::clean(&stream.publisher.encoder);
    let window_s = stream.window_s;
    let way = columns::way(&stream.publisher);
    let title = format!("Last {window_s} s of the selected stream: {media}, by {encoder}{way}");
    let table = Table::new(rows, [8, 9, 8, 8, 8, 8])
        .header(Row::new(head).dim())
        .column_spacing(GAP)
        .block(block(title));
    frame.render_widget(table, area);
}

/// The columns that fit into `width`, most important first, in their order on the screen.
fn fit<'a, T>(columns: &'a [Column<T>], rows: &[T], width: u16) -> (Vec<&'a Column<T>>, Vec<u16>) {
    let mut ranked: Vec<_> = columns.iter().enumerate().collect();
    ranked.sort_by_key(|(_, column)| column.rank);
    let mut used = 0;
    let mut chosen = Vec::new();
    for (at, column) in ranked {
        let cells = rows.iter().map(|row| columns::width(&(column.cell)(row)));
        let widest = cells
            .chain([column.title.len(), column.least])
            .max()
            .unwrap_or(0);
        let widest = u16::try_from(widest).unwrap_or(u16::MAX).min(column.widest);
        let gap = if used == 0 { 0 } else { GAP };
        if used + gap + widest > width && used > 0 {
            break;
        }
        used += gap + widest;
        chosen.push((at, column, widest));
    }
    chosen.sort_by_key(|(at, ..)| *at);
    chosen
        .into_iter()
        .map(|(_, column, width)| (column, width))
        .unzip()
}

fn table<'a, T>(columns: &[&Column<T>], widths: &[u16], rows: &[T]) -> Table<'a> {
    let head = columns
        .iter()
        .map(|column| cell(column.title.to_owned(), column.right));
    let rows = rows.iter().map(|row| {
        let cells = columns
            .iter()
            .map(|column| cell((column.cell)(row), column.right));
        Row::new(cells.collect::<Vec<_>>())
    });
    Table::new(rows.collect::<Vec<_>>(), widths.iter().copied())
        .header(Row::new(head.collect::<Vec<_>>()).dim())
        .column_spacing(GAP)
}

fn cell<'a>(text: String, right: bool) -> Cell<'a> {
    let alignment = if right {
        Alignment::Right
    } else {
        Alignment::Left
    };
    Cell::from(Text::from(text).alignment(alignment))
}

fn block<'a>(title: impl Into<Line<'a>>) -> Block<'a> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().dim())
        .title(title)
}
