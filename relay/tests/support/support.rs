//! The end-to-end harness: the `weir` binary, real encoders, and files compared frame by frame.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its part of the harness"
)]
#![allow(
    clippy::print_stderr,
    reason = "a failed test shows what its programs said"
)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness fails a test by a panic"
)]

mod browser;
mod contrast;
mod drawn;
mod flood;
mod flv;
mod media;
mod moqt;
mod obs;
mod player;
mod process;
mod relay;
mod rtmp;
mod site;
mod source;
mod streams;
mod tracks;
mod trust;
mod viewer;

pub(crate) use browser::{Browser, ELSEWHERE};
pub(crate) use contrast::{SCHEMES, contrast, prefer, resize};
pub(crate) use drawn::{DRAWN_FPS, Drawing, Drawn};
pub(crate) use flood::flood;
pub(crate) use flv::{FlvTag, Kind};
pub(crate) use media::{Frame, Media, Track};
pub(crate) use moqt::{ANSWER, Asked, Habits, Incoming, MoqtClient, track_of};
pub(crate) use obs::Obs;
pub(crate) use player::Player;
pub(crate) use process::{Process, Scratch, now, sleep, unix_ms, wait_for};
pub(crate) use relay::{Pull, Response, Weir, weir};
pub(crate) use rtmp::{Publisher, opus_tags};
pub(crate) use site::Site;
pub(crate) use source::{Recipe, Source, ffmpeg, push, recipes};
pub(crate) use streams::{FetchStream, GroupStream, MoqtObject, StreamEnd};
pub(crate) use tracks::{STRANGE, head, header, object, object_with, publish, published};
pub(crate) use viewer::{PATIENCE, Picture, Viewer};
