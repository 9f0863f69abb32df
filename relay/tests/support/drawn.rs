//! A stream whose pictures the test draws itself: each carries its number and the time at which it
//! was drawn in blocks that survive any encoder, and flashes when the sound beeps.

use std::io::Write;
use std::process::{ChildStdin, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::process::{Process, now, sleep, unix_ms};
use super::relay::Weir;
use super::source::ffmpeg;

/// Pictures a second.
pub(crate) const DRAWN_FPS: u32 = 30;

/// Blocks in a row: the bits of a word, lowest on the left.
const BITS: usize = 16;

/// Rows: number, time's low word, time's high word, flash.
const ROWS: usize = 4;

/// Luma of a bit that is set, and of one that is not.
const LIGHT: u8 = 235;
const DARK: u8 = 16;

/// The picture flashes so many frames of a second, and the sound beeps at the same time.
const FLASH_FRAMES: u32 = 3;

/// How the stream is encoded.
#[derive(Clone, Copy)]
pub(crate) struct Drawing {
    /// Whether the ffmpeg that knows Enhanced RTMP is needed.
    pub(crate) newer: bool,
    /// Options of the video encoder.
    pub(crate) video: &'static [&'static str],
    /// Options of the audio encoder; without, there is no sound.
    pub(crate) audio: Option<&'static [&'static str]>,
    /// Frames from one key frame to the next.
    pub(crate) gop: u32,
    /// Width and height, each a multiple of 16.
    pub(crate) size: (usize, usize),
}

impl Drawing {
    /// H.264 as a low-latency encoder makes it, and AAC.
    pub(crate) const PLAIN: Self = Self {
        newer: false,
        video: &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
        ],
        audio: Some(&["-c:a", "aac", "-b:a", "96k"]),
        gop: 60,
        size: (320, 192),
    };

    /// The same without sound: ffmpeg holds pictures back until it has the sound beside them.
    pub(crate) const SILENT: Self = Self {
        audio: None,
        ..Self::PLAIN
    };

    /// A relay to which it is pushed as `live/cam`.
    #[track_caller]
    pub(crate) fn live(&self) -> (Weir, Drawn) {
        let relay = Weir::start();
        let push = self.push(&relay.rtmp_url("live/cam"));
        let tracks: &[&str] = match self.audio {
            Some(_) => &["video", "audio"],
            None => &["video"],
        };
        relay.wait_live("live/cam", tracks);
        (relay, push)
    }

    /// Pushes it to `url` until it is dropped.
    #[track_caller]
    pub(crate) fn push(&self, url: &str) -> Drawn {
        self.run(self.command().arg(url))
    }

    /// The same as FLV to the standard input of a shell command.
    #[track_caller]
    pub(crate) fn pipe(&self, into: &str) -> Drawn {
        let source = self.command();
        let mut pipe = Command::new("sh");
        pipe.arg("-c").arg(format!("\"$@\" pipe:1 | {into}"));
        pipe.arg("sh").arg(source.get_program());
        self.run(pipe.args(source.get_args()))
    }

    #[track_caller]
    fn run(&self, command: &mut Command) -> Drawn {
        let (process, input) = Process::spawn_fed("ffmpeg-drawn", command);
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let size = self.size;
        let thread = thread::spawn(move || draw(input, size, &ended));
        Drawn {
            process: Some(process),
            over,
            thread: Some(thread),
        }
    }

    fn command(&self) -> Command {
        let mut command = ffmpeg(self.newer);
        let (fps, gop) = (DRAWN_FPS.to_string(), self.gop.to_string());
        command.args(["-v", "error", "-probesize", "32", "-fflags", "nobuffer"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-r", &fps]);
        let (width, height) = self.size;
        command.args(["-s", &format!("{width}x{height}"), "-i", "pipe:0"]);
        if let Some(audio) = self.audio {
            let seconds = f64::from(FLASH_FRAMES) / f64::from(DRAWN_FPS);
            let beep = format!("0.4*sin(2*PI*880*t)*lt(mod(t,1),{seconds})");
            let beep = format!("aevalsrc='{beep}':s=48000:c=stereo");
            command.args(["-f", "lavfi", "-i", &beep]).args(audio);
        }
        command.args(self.video);
        command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
        command.args(["-flush_packets", "1", "-f", "flv"]);
        command
    }
}

/// A running push.
pub(crate) struct Drawn {
    process: Option<Process>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // The end of ffmpeg ends a write that waits for it.
        drop(self.process.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Draws in real time. The first pictures wait for ffmpeg, so the time counts from the fourth.
fn draw(mut input: ChildStdin, size: (usize, usize), over: &AtomicBool) {
    let mut start = now();
    for number in 0.. {
        if over.load(Ordering::Acquire) {
            return;
        }
        let due = Duration::from_secs(1) * number / DRAWN_FPS;
        if number > 3 {
            sleep(due.saturating_sub(start.elapsed()));
        }
        if input.write_all(&picture(number, unix_ms(), size)).is_err() {
            return;
        }
        if number == 3 {
            start = now() - due;
        }
    }
}

/// A picture in planar YUV 4:2:0.
fn picture(number: u32, unix_ms: u64, (width, height): (usize, usize)) -> Vec<u8> {
    let word = |value: u64| u16::try_from(value & 0xffff).unwrap_or(0);
    let flash = match number % DRAWN_FPS < FLASH_FRAMES {
        true => u16::MAX,
        false => 0,
    };
    let rows = [
        word(number.into()),
        word(unix_ms),
        word(unix_ms >> 16),
        flash,
    ];
    let mut picture = Vec::with_capacity(width * height * 3 / 2);
    for row in rows {
        let line: Vec<u8> = (0..width)
            .map(|x| match row >> (x * BITS / width) & 1 {
                1 => LIGHT,
                _ => DARK,
            })
            .collect();
        for _ in 0..height / ROWS {
            picture.extend_from_slice(&line);
        }
    }
    picture.resize(width * height * 3 / 2, 128);
    picture
}
