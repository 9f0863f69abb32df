//! A stream that is being played, also when a relay asks to leave for another place.
//!
//! The new place is asked while the old one goes on; then the new one's frames take over where the
//! old one's ended: what both had is dropped by its decoding time.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use weir_protocol::moqt::Version;

use super::client::{Client, Media};
use super::flv::{Codec, Description, Frame};
use super::target::Target;
use crate::client::Address;

/// A stream that is being played.
pub(super) struct Playing {
    target: Target,
    drafts: Vec<Version>,
    client: Client,
    media: Media,
    seam: Seam,
    next: Option<Pin<Box<dyn Future<Output = anyhow::Result<Place>>>>>,
    /// How the old place ended, while the new one is waited for.
    ended: Option<anyhow::Result<()>>,
    /// Whether this place's GOAWAY has been followed, for better or worse.
    followed: bool,
    /// Whether it named another place.
    named: bool,
}

/// Where a stream is played from.
struct Place {
    target: Target,
    client: Client,
    media: Media,
}

impl Playing {
    pub(super) async fn start(
        target: Target,
        drafts: Vec<Version>,
        wait: Duration,
    ) -> anyhow::Result<Self> {
        let mut client = Client::connect(&target.relay, &drafts).await?;
        let media = client.play(&target.namespace, wait).await?;
        Ok(Self {
            target,
            drafts,
            client,
            media,
            seam: Seam::default(),
            next: None,
            ended: None,
            followed: false,
            named: false,
        })
    }

    pub(super) fn description(&self) -> Description {
        self.media.description()
    }

    /// The next frame, or `None` when the stream has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            let (leaving, listens) = (self.next.is_some(), !self.followed);
            let ended = tokio::select! {
                frame = self.media.next(), if self.ended.is_none() => match frame {
                    Ok(Some(frame)) => match self.seam.pass(frame) {
                        Some(frame) => return Ok(Some(frame)),
                        None => continue,
                    },
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
                uri = self.client.goaway(), if listens => {
                    self.followed = true;
                    self.leave_for(&uri);
                    continue;
                }
                place = arrival(&mut self.next), if leaving => match (place, self.ended.take()) {
                    (Ok(place), _) => {
                        self.arrive(place);
                        continue;
                    }
                    (Err(error), ended) => {
                        // A relay that stops for good asks everyone to come back, too.
                        match self.named {
                            true => warn!("cannot go where the relay sends us: {error:#}"),
                            false => debug!("the relay has not come back: {error:#}"),
                        }
                        match ended {
                            Some(ended) => ended,
                            None => continue,
                        }
                    }
                },
            };
            match self.next.is_some() {
                // What comes after it is the next place's, and nobody is to wait for us here.
                true => {
                    self.client.leave();
                    self.ended = Some(ended);
                }
                false => return ended.map(|()| None),
            }
        }
    }

    fn leave_for(&mut self, uri: &str) {
        info!(to = uri, "the relay asks to leave");
        self.named = !uri.is_empty();
        let target = match self.target.moved(uri) {
            Ok(target) => target,
            Err(error) => return warn!(%error, "the relay sends us to an address that is none"),
        };
        let drafts = self.drafts.clone();
        self.next = Some(Box::pin(go(target, drafts)));
    }

    fn arrive(&mut self, place: Place) {
        let old = std::mem::replace(&mut self.client, place.client);
        tokio::spawn(old.close());
        self.target = place.target;
        self.media = place.media;
        self.followed = false;
        self.seam.begin();
    }

    /// Leaves, and lets the relay know.
    pub(super) async fn close(self) {
        self.client.close().await;
    }
}

/// Waits for the next place, which is then taken.
async fn arrival(
    next: &mut Option<Pin<Box<dyn Future<Output = anyhow::Result<Place>>>>>,
) -> anyhow::Result<Place> {
    let Some(going) = next else {
        return std::future::pending().await;
    };
    let place = going.await;
    *next = None;
    place
}

/// Goes to a place; one that is not there yet is tried again, as a relay may be on its way up.
async fn go(target: Target, drafts: Vec<Version>) -> anyhow::Result<Place> {
    let deadline = Instant::now() + ARRIVAL_LIMIT;
    loop {
        let error = match Client::connect(&target.relay, &drafts).await {
            Ok(mut client) => {
                // Its publisher may be on its way, too.
                let media = client.play(&target.namespace, PUBLISHER_LIMIT).await?;
                return Ok(Place {
                    target,
                    client,
                    media,
                });
            }
            Err(error) => error,
        };
        if Instant::now() + ASK_AGAIN > deadline {
            return Err(error);
        }
        sleep(ASK_AGAIN).await;
    }
}

impl Target {
    /// The same stream at the address of a GOAWAY, which is empty for the same place.
    fn moved(&self, uri: &str) -> Result<Self, crate::client::AddressError> {
        let mut target = self.clone();
        if !uri.is_empty() {
            target.relay = Address::parse(uri)?.trusting(&self.relay);
        }
        Ok(target)
    }
}

/// Joins the frames of one place to those of the next.
#[derive(Debug, Default)]
struct Seam {
    /// The newest decoding time of pictures and of sound.
    newest_us: [Option<u64>; 2],
    /// Frames up to these times were written from another place.
    written_us: [Option<u64>; 2],
    /// What is added to the times of a place whose clock is another.
    ahead_us: u64,
    /// Whether no frame of the place has been seen.
    fresh: bool,
}

impl Seam {
    /// Frames are of another place from here on.
    fn begin(&mut self) {
        self.written_us = self.newest_us;
        self.fresh = true;
    }

    /// The frame with the time that it is written with, unless it was written before.
    fn pass(&mut self, mut frame: Frame) -> Option<Frame> {
        if std::mem::take(&mut self.fresh) {
            let newest_us = self.newest_us.into_iter().flatten().max().unwrap_or(0);
            let back_us = newest_us.saturating_sub(frame.dts_us);
            self.ahead_us = match back_us > REPEATED_US {
                true => back_us + GAP_US,
                false => 0,
            };
        }
        frame.dts_us += self.ahead_us;
        let kind = usize::from(matches!(frame.codec, Codec::Audio(_)));
        if self.written_us[kind].is_some_and(|written_us| frame.dts_us <= written_us) {
            return None;
        }
        self.written_us[kind] = None;
        self.newest_us[kind] = self.newest_us[kind].max(Some(frame.dts_us));
        Some(frame)
    }
}

/// How long a relay that we were sent to may take until it answers.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// How long the stream may take to be published there.
const PUBLISHER_LIMIT: Duration = Duration::from_secs(10);

/// Pause between attempts.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How far back the first frame of the next place may be without being of another clock, in
/// microseconds: a group is repeated from its beginning.
const REPEATED_US: u64 = 60_000_000;

/// What is put between the last frame by one clock and the first by another, in microseconds.
const GAP_US: u64 = 20_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_protocol::codec::{AudioCodec, VideoCodec};

    use super::*;

    const VIDEO: Codec = Codec::Video(VideoCodec::Avc);
    const AUDIO: Codec = Codec::Audio(AudioCodec::Aac);

    fn pass(seam: &mut Seam, codec: Codec, dts_ms: u64) -> Option<u64> {
        let frame = Frame {
            codec,
            key: false,
            dts_us: dts_ms * 1000,
            composition_us: 0,
            config: None,
            payload: Bytes::new(),
        };
        seam.pass(frame).map(|frame| frame.dts_us / 1000)
    }

    #[test]
    fn frames_that_both_places_had_are_written_once() {
        let mut seam = Seam::default();
        for ms in [0, 40, 80] {
            assert_eq!(pass(&mut seam, VIDEO, ms), Some(ms));
        }
        assert_eq!(pass(&mut seam, AUDIO, 60), Some(60));
        seam.begin();
        let passed = [0, 40, 80, 120].map(|ms| pass(&mut seam, VIDEO, ms));
        assert_eq!(passed, [None, None, None, Some(120)]);
        assert_eq!(pass(&mut seam, AUDIO, 60), None);
        assert_eq!(pass(&mut seam, AUDIO, 81), Some(81));
        // Times that stand still are a matter of the stream's own.
        assert_eq!(pass(&mut seam, VIDEO, 120), Some(120));
    }

    #[test]
    fn clock_that_began_anew_goes_on_where_the_other_stopped() {
        let mut seam = Seam::default();
        pass(&mut seam, VIDEO, 500_000);
        pass(&mut seam, AUDIO, 500_010);
        seam.begin();
        assert_eq!(pass(&mut seam, VIDEO, 7), Some(500_030));
        assert_eq!(pass(&mut seam, AUDIO, 7), Some(500_030));
        assert_eq!(pass(&mut seam, VIDEO, 47), Some(500_070));
    }
}
