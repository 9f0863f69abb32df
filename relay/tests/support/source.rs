//! Test material made by ffmpeg once a build, and pushing it as a streamer does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::media::Media;
use super::process::{Process, Scratch};

/// Time to encode some seconds of small pictures on a busy machine.
const ENCODE: Duration = Duration::from_secs(120);

/// Frames a second of all test video.
pub(crate) const FPS: usize = 30;

/// How to make a file.
pub(crate) struct Recipe {
    /// Name of the file; a changed recipe takes a new name.
    pub(crate) name: &'static str,
    /// Which ffmpeg knows how.
    pub(crate) newer: bool,
    /// Length of the file.
    pub(crate) seconds: usize,
    /// Frames from one key frame to the next.
    pub(crate) gop: usize,
    /// Encoder options of the video track.
    pub(crate) video: Option<&'static [&'static str]>,
    /// Encoder options of the audio track.
    pub(crate) audio: Option<&'static [&'static str]>,
}

/// What the tests push.
pub(crate) mod recipes {
    use super::Recipe;

    const AAC: &[&str] = &["-c:a", "aac", "-b:a", "96k", "-ac", "2"];
    const BASELINE: &[&str] = &[
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-profile:v",
        "baseline",
        "-b:v",
        "500k",
    ];

    /// What most software sends: H.264 without B-frames, AAC.
    pub(crate) const PLAIN: Recipe = Recipe {
        name: "plain",
        newer: false,
        seconds: 20,
        gop: 30,
        video: Some(BASELINE),
        audio: Some(AAC),
    };

    /// H.264 with B-frames: frames are decoded in another order than shown.
    pub(crate) const B_FRAMES: Recipe = Recipe {
        name: "b-frames",
        video: Some(&[
            "-c:v", "libx264", "-preset", "fast", "-bf", "3", "-b:v", "500k",
        ]),
        ..PLAIN
    };

    /// One key frame in ten seconds, as unattended encoders send.
    pub(crate) const LONG_GOP: Recipe = Recipe {
        name: "long-gop",
        gop: 300,
        ..PLAIN
    };

    /// Large key frames: some 4 Mbit/s.
    pub(crate) const HEAVY: Recipe = Recipe {
        name: "heavy",
        video: Some(&[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-bf",
            "0",
            "-b:v",
            "4M",
            "-minrate",
            "4M",
            "-maxrate",
            "4M",
            "-bufsize",
            "1M",
            "-nal-hrd",
            "cbr",
        ]),
        ..PLAIN
    };

    /// H.264 alone.
    pub(crate) const VIDEO_ONLY: Recipe = Recipe {
        name: "video-only",
        audio: None,
        ..PLAIN
    };

    /// AAC alone.
    pub(crate) const AUDIO_ONLY: Recipe = Recipe {
        name: "audio-only",
        video: None,
        ..PLAIN
    };

    /// HEVC by Enhanced RTMP, AAC.
    pub(crate) const HEVC: Recipe = Recipe {
        name: "hevc",
        newer: true,
        video: Some(&[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-b:v",
            "400k",
            "-x265-params",
            "log-level=error:scenecut=0:open-gop=0",
        ]),
        ..PLAIN
    };

    /// AV1 by Enhanced RTMP, AAC.
    pub(crate) const AV1: Recipe = Recipe {
        name: "av1",
        newer: true,
        seconds: 8,
        video: Some(&[
            "-c:v",
            "libaom-av1",
            "-cpu-used",
            "8",
            "-usage",
            "realtime",
            "-b:v",
            "300k",
        ]),
        ..PLAIN
    };
}

/// A file of test material.
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Frames from one key frame to the next.
    pub(crate) gop: usize,
    newer: bool,
}

impl Recipe {
    /// The file, made now unless an earlier test made it.
    #[track_caller]
    pub(crate) fn make(&self) -> Source {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}.flv", self.name));
        if !path.exists() {
            // Tests run side by side; a rename makes the file appear whole or not at all.
            let part = Scratch::new("part.flv");
            Process::succeed("encode", self.command().arg(part.path()), ENCODE);
            fs::rename(part.path(), &path).unwrap();
        }
        Source {
            path,
            gop: self.gop,
            newer: self.newer,
        }
    }

    fn command(&self) -> Command {
        let mut command = ffmpeg(self.newer);
        let (seconds, gop) = (self.seconds.to_string(), self.gop.to_string());
        command.args(["-v", "error", "-y"]);
        if self.video.is_some() {
            command.args([
                "-f",
                "lavfi",
                "-i",
                &format!("testsrc2=size=320x180:rate={FPS}"),
            ]);
        }
        if self.audio.is_some() {
            command.args([
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:beep_factor=4:r=48000",
            ]);
        }
        command.args(["-t", &seconds]);
        if let Some(video) = self.video {
            command.args(["-pix_fmt", "yuv420p"]).args(video);
            command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
        }
        command
            .args(self.audio.unwrap_or_default())
            .args(["-f", "flv"]);
        command
    }
}

impl Source {
    /// Its frames.
    #[track_caller]
    pub(crate) fn media(&self) -> Media {
        self.read(&self.path)
    }

    /// Another file of the same codecs, read by the ffmpeg that knows them.
    #[track_caller]
    pub(crate) fn read(&self, path: &Path) -> Media {
        Media::read_with(ffmpeg(self.newer), path)
    }

    /// Pushes it to `url` in real time; the push ends with the file or when dropped.
    #[track_caller]
    pub(crate) fn push(&self, url: &str) -> Process {
        let mut command = ffmpeg(self.newer);
        command.args(["-v", "error", "-re", "-i"]).arg(&self.path);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", url]);
        Process::spawn("ffmpeg-push", &mut command)
    }

    /// Asserts that ffmpeg decodes all of the file without a complaint.
    #[track_caller]
    pub(crate) fn assert_decodes(&self, path: &Path) {
        let mut command = ffmpeg(self.newer);
        command
            .args(["-v", "warning", "-i"])
            .arg(path)
            .args(["-f", "null", "-"]);
        let said = Process::succeed("decode", &mut command, ENCODE).stderr();
        assert_eq!(said, "", "ffmpeg complains about {}", path.display());
    }
}

/// Makes the recipe and pushes it to `url`.
#[track_caller]
pub(crate) fn push(recipe: &Recipe, url: &str) -> (Source, Process) {
    let source = recipe.make();
    let process = source.push(url);
    (source, process)
}

/// Debian's ffmpeg, or the newer one of the PyPI package imageio-ffmpeg, which knows Enhanced RTMP.
#[track_caller]
pub(crate) fn ffmpeg(newer: bool) -> Command {
    if !newer {
        return Command::new("ffmpeg");
    }
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../venv/lib");
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let pythons = entries(&venv).map(|python| python.path());
    let folders = pythons.map(|python| python.join("site-packages/imageio_ffmpeg/binaries"));
    let mut programs = folders.flat_map(|folder| entries(&folder).map(|file| file.path()));
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg-"))
    };
    let program = programs.find(named);
    Command::new(
        program.unwrap_or_else(|| {
            panic!("no newer ffmpeg under {}: run `make setup`", venv.display())
        }),
    )
}
