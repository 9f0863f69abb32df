//! `weir top`: a live table of streams, viewers and latency by stage in the terminal.

mod client;
mod columns;
mod screen;

use crate::stats::snapshot::{StreamDetail, StreamList};
use client::{Base, Client, Error};
use parking_lot::Mutex;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyModifiers};
use screen::Screen;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// How often the relay is asked.
const REFRESH: Duration = Duration::from_secs(1);

/// How long the screen waits for a key before it looks for an answer.
const TICK: Duration = Duration::from_millis(50);

/// Exit code of a bad argument: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// Rows that page up and page down move by.
const PAGE: isize = 10;

/// Arguments of `weir top`.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// HTTP address of the relay
    #[arg(default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// What lets you see a relay on another machine: see `weir token --control`
    #[arg(long, value_name = "TOKEN", env = "WEIR_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print the table once and exit, as happens when the output is not a terminal
    #[arg(long)]
    pub once: bool,
}

/// Runs `weir top` until the user quits.
///
/// What the user did wrong is said in one line on stderr: exit code 64 for a bad address, 1 when
/// no relay answers.
///
/// # Errors
///
/// When the terminal or stdout fails.
pub fn run(args: TopArgs) -> anyhow::Result<ExitCode> {
    let base = match Base::parse(&args.url) {
        Ok(base) => base,
        Err(error) => return fail(&error, ExitCode::from(USAGE)),
    };
    let client = Client::new(base, args.token);
    let list = match client.streams() {
        Ok(list) => list,
        Err(error) => return fail(&error, ExitCode::FAILURE),
    };
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        print(&list)?;
    } else {
        let mut terminal = ratatui::try_init()?;
        let shown = show(&mut terminal, client, list);
        ratatui::try_restore()?;
        shown?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fail(error: &dyn std::error::Error, code: ExitCode) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "weir: {error}")?;
    Ok(code)
}

fn print(list: &StreamList) -> io::Result<()> {
    let text = columns::plain(&columns::STREAM, &list.streams);
    match io::stdout().write_all(text.as_bytes()) {
        // `weir top | head -1` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What one round of questions brought.
type Answer = Result<(StreamList, Option<StreamDetail>), Error>;

/// Draws and takes keys while another thread asks, so that a slow relay does not hold up a key.
fn show(terminal: &mut DefaultTerminal, client: Client, list: StreamList) -> anyhow::Result<()> {
    let mut screen = Screen::new(client.base().clone(), list);
    let selected = Arc::new(Mutex::new(screen.selected().map(str::to_owned)));
    let (answer_to, answers) = sync_channel(1);
    let (wake, woken) = sync_channel(1);
    let asked = Arc::clone(&selected);
    std::thread::Builder::new()
        .name("weir-top".to_owned())
        .spawn(move || ask(&client, &asked, &answer_to, &woken))?;
    terminal.draw(|frame| screen.draw(frame))?;
    loop {
        let mut changed = match answers.try_recv() {
            Ok(Ok((list, detail))) => {
                screen.on_streams(list, detail);
                true
            }
            Ok(Err(error)) => {
                screen.on_failure(error.to_string());
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that asks has ended"),
        };
        if event::poll(TICK)? {
            match event::read()?.as_key_press_event().and_then(command) {
                Some(Command::Quit) => return Ok(()),
                Some(Command::Select(rows)) => {
                    screen.select(rows);
                }
                None => {}
            }
            changed = true;
        }
        if selected.lock().as_deref() != screen.selected() {
            *selected.lock() = screen.selected().map(str::to_owned);
            // Full means that it is about to ask anyway.
            let _ = wake.try_send(());
        }
        if changed {
            terminal.draw(|frame| screen.draw(frame))?;
        }
    }
}

/// Asks the relay every [`REFRESH`], and at once when woken, until nobody listens.
fn ask(
    client: &Client,
    selected: &Mutex<Option<String>>,
    answers: &SyncSender<Answer>,
    woken: &Receiver<()>,
) {
    loop {
        let name = selected.lock().clone();
        let detail = name.map_or(Ok(None), |name| client.stream(&name));
        let answer = detail.and_then(|detail| Ok((client.streams()?, detail)));
        if answers.send(answer).is_err() {
            return;
        }
        match woken.recv_timeout(REFRESH) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Quit,
    /// Moves the selection by so many rows.
    Select(isize),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a keyboard has many other keys"
)]
fn command(key: KeyEvent) -> Option<Command> {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Command::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Command::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Command::Select(-1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Command::Select(1)),
        KeyCode::PageUp => Some(Command::Select(-PAGE)),
        KeyCode::PageDown => Some(Command::Select(PAGE)),
        KeyCode::Home => Some(Command::Select(isize::MIN)),
        KeyCode::End => Some(Command::Select(isize::MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
