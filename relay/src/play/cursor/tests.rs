//! The policy's promises, on tracks of a few objects.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::ring::{Limits, OBJECT_BYTES, Reader, Ring, SubgroupEnd, SubgroupOptions, Wake, Writer};

const WRITER: Writer = Writer(1);
const LIMIT_US: u64 = 1_000;

/// A track that a test writes to and reads.
struct Track {
    ring: Arc<Ring>,
    reader: Reader,
}

/// An object of ten bytes, which was complete at that time.
fn object(complete_us: u64) -> Object {
    Object {
        id: 0,
        wire: Bytes::from_static(&[0; 10]),
        header_len: 0,
        properties: Bytes::new(),
        legacy: None,
        first_byte_us: complete_us,
        complete_us,
    }
}

impl Track {
    fn new() -> Self {
        let limits = Limits {
            cache_bytes: 5 * (10 + OBJECT_BYTES),
            cache_us: 1_000_000,
            ..Limits::default()
        };
        let ring = Arc::new(Ring::new(limits));
        let reader = Reader::new(Arc::clone(&ring), Arc::new(Wake::default()));
        Self { ring, reader }
    }

    /// A group whose objects of ten bytes were complete at these times.
    fn group(&mut self, complete_us: &[u64]) {
        self.ring.begin_group(WRITER, 0).unwrap();
        for complete_us in complete_us {
            self.add(*complete_us);
        }
    }

    fn add(&mut self, complete_us: u64) {
        self.ring.push(WRITER, object(complete_us)).unwrap();
        self.reader.sync();
    }
}

fn tracks<'a>(video: &'a Track, audio: &'a Track) -> Tracks<'a> {
    Tracks {
        video: Some(video.reader.groups()),
        audio: Some(audio.reader.groups()),
        ended: false,
    }
}

/// What a player that reads at once is sent until it has to wait: times of completion, negative
/// for sound, and the objects that it is not sent.
fn play(cursor: &mut Cursor, tracks: Tracks<'_>) -> (Vec<i64>, u64) {
    let (mut sent, mut lost) = (Vec::new(), 0);
    loop {
        match cursor.next(tracks) {
            Action::Send(at) => {
                let groups = match at.kind {
                    Kind::Video => tracks.video.unwrap(),
                    Kind::Audio => tracks.audio.unwrap(),
                };
                let object = &find(groups, at.group).unwrap().objects[at.index];
                let time = object.complete_us as i64;
                sent.push(if at.kind == Kind::Video { time } else { -time });
                cursor.sent(at);
            }
            Action::Skip { to_us, objects } => {
                lost += objects;
                cursor.skipped(to_us);
            }
            Action::Wait | Action::End => return (sent, lost),
        }
    }
}

#[test]
fn player_begins_at_the_newest_key_frame_and_the_sound_that_came_with_it() {
    let (mut video, mut audio) = (Track::new(), Track::new());
    video.group(&[100, 200]);
    video.group(&[300, 400]);
    audio.group(&[110, 210, 310]);
    audio.group(&[410]);
    let mut cursor = Cursor::new(LIMIT_US);
    let all = tracks(&video, &audio);
    assert_eq!(play(&mut cursor, all), (vec![300, -310, 400, -410], 0));
    assert_eq!(cursor.next(all), Action::Wait);
    video.add(500);
    assert_eq!(play(&mut cursor, tracks(&video, &audio)).0, [500]);
}

#[test]
fn objects_go_out_in_the_order_in_which_they_came() {
    let (mut video, mut audio) = (Track::new(), Track::new());
    video.group(&[10, 30, 30]);
    audio.group(&[15, 30, 45]);
    let mut cursor = Cursor::new(LIMIT_US);
    let (sent, _) = play(&mut cursor, tracks(&video, &audio));
    assert_eq!(sent, [10, -15, 30, 30, -30, -45]);
}

#[test]
fn slow_player_goes_on_at_the_newest_key_frame_with_both_tracks() {
    let (mut video, mut audio) = (Track::new(), Track::new());
    video.group(&[1_000, 1_100]);
    audio.group(&[1_010, 1_110]);
    let mut cursor = Cursor::new(LIMIT_US);
    let all = tracks(&video, &audio);
    let Action::Skip { to_us, .. } = cursor.next(all) else {
        panic!("a player begins somewhere")
    };
    cursor.skipped(to_us);
    let Action::Send(at) = cursor.next(all) else {
        panic!("there is a key frame")
    };
    cursor.sent(at);
    video.group(&[2_000, 2_100]);
    audio.group(&[2_010, 2_110]);
    let all = tracks(&video, &audio);
    assert_eq!(cursor.behind_us(all), 2_110 - 1_010);
    let (sent, lost) = play(&mut cursor, all);
    assert_eq!((sent, lost), (vec![2_000, -2_010, 2_100, -2_110], 3));
}

#[test]
fn slow_player_within_the_newest_gop_gets_all_of_it() {
    let (mut video, audio) = (Track::new(), Track::new());
    video.group(&[1_000, 9_000, 9_100]);
    let mut cursor = Cursor::new(LIMIT_US);
    assert_eq!(
        play(&mut cursor, tracks(&video, &audio)).0,
        [1_000, 9_000, 9_100]
    );
}

#[test]
fn group_that_the_ring_dropped_is_left_for_the_newest() {
    let (mut video, audio) = (Track::new(), Track::new());
    video.group(&[10, 20]);
    let mut cursor = Cursor::new(LIMIT_US);
    cursor.skipped(10);
    let Action::Send(at) = cursor.next(tracks(&video, &audio)) else {
        panic!("there is a key frame")
    };
    cursor.sent(at);
    for start in [2_000, 3_000, 4_000, 5_000] {
        video.group(&[start, start + 1, start + 2]);
    }
    assert!(find(video.reader.groups(), at.group).is_none());
    let (sent, _) = play(&mut cursor, tracks(&video, &audio));
    assert_eq!(sent, [5_000, 5_001, 5_002]);
}

#[test]
fn sound_alone_is_played_and_a_picture_that_comes_later_too() {
    let (mut video, mut audio) = (Track::new(), Track::new());
    audio.group(&[10, 20]);
    let mut cursor = Cursor::new(LIMIT_US);
    let only = Tracks {
        video: None,
        ..tracks(&video, &audio)
    };
    assert_eq!(play(&mut cursor, only).0, [-10, -20]);
    video.group(&[25, 30]);
    audio.add(28);
    assert_eq!(play(&mut cursor, tracks(&video, &audio)).0, [25, -28, 30]);
}

#[test]
fn player_ends_with_the_stream_when_it_has_everything() {
    let (mut video, audio) = (Track::new(), Track::new());
    fn ended<'a>(video: &'a Track, audio: &'a Track) -> Tracks<'a> {
        Tracks {
            ended: true,
            ..tracks(video, audio)
        }
    }
    let mut cursor = Cursor::new(LIMIT_US);
    assert_eq!(cursor.next(ended(&video, &audio)), Action::End);
    video.group(&[10]);
    assert_eq!(play(&mut cursor, ended(&video, &audio)).0, [10]);
    assert_eq!(cursor.next(ended(&video, &audio)), Action::End);
}

#[test]
fn group_that_was_overtaken_is_waited_for_a_moment() {
    let mut audio = Track::new();
    let video = Track::new();
    let mut cursor = Cursor::new(10 * OVERTAKEN_US);
    let mut publish = |group: u64, complete_us: u64| {
        let options = SubgroupOptions::WHOLE;
        let subgroup = audio.ring.open_subgroup(WRITER, group, options, 0);
        let subgroup = subgroup.unwrap();
        let object = object(complete_us);
        let pushed = audio.ring.push_to(WRITER, group, &subgroup, object);
        pushed.unwrap();
        audio.ring.end_subgroup(group, &subgroup, SubgroupEnd::Fin);
        audio.reader.sync();
        let only = Tracks {
            video: None,
            ..tracks(&video, &audio)
        };
        play(&mut cursor, only).0
    };
    assert_eq!(publish(7, 10), [-10]);
    assert_eq!(publish(9, 20), [] as [i64; 0]);
    assert_eq!(publish(8, 30), [-30, -20]);
    // One that does not come at all.
    assert_eq!(publish(11, 40), [] as [i64; 0]);
    let late_us = 40 + OVERTAKEN_US as i64;
    assert_eq!(publish(12, 40 + OVERTAKEN_US), [-40, -late_us]);
}
