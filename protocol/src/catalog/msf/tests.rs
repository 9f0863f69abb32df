//! The MSF catalog: the draft's example, tolerance, bounds.

use super::*;

fn catalog() -> Catalog {
    let mut catalog = Catalog::live(1_700_000_000_000);
    let video = Track {
        target_latency: Some(500),
        width: Some(1920),
        height: Some(1080),
        framerate: Some(30.0),
        bitrate: Some(6_000_000),
        ..Track::live("video", ROLE_VIDEO, "avc1.640028")
    };
    let audio = Track {
        target_latency: Some(500),
        samplerate: Some(48_000),
        channel_config: Some("2".to_owned()),
        bitrate: Some(128_000),
        ..Track::live("audio", ROLE_AUDIO, "mp4a.40.2")
    };
    catalog.push(video, Some(b"avcC"));
    catalog.push(audio, Some(&[0x11, 0x90]));
    catalog
}

#[test]
fn a_live_catalog_is_what_the_draft_shows() {
    let expected = serde_json::json!({
        "version": "draft-01",
        "generatedAt": 1_700_000_000_000_u64,
        "tracks": [
            {
                "name": "video", "packaging": "loc", "isLive": true, "role": "video",
                "renderGroup": 1, "targetLatency": 500, "codec": "avc1.640028",
                "width": 1920, "height": 1080, "framerate": 30.0, "timescale": 1_000_000,
                "bitrate": 6_000_000, "initRef": "video"
            },
            {
                "name": "audio", "packaging": "loc", "isLive": true, "role": "audio",
                "renderGroup": 1, "targetLatency": 500, "codec": "mp4a.40.2",
                "samplerate": 48_000, "channelConfig": "2", "timescale": 1_000_000,
                "bitrate": 128_000, "initRef": "audio"
            }
        ],
        "initDataList": [
            {"id": "video", "type": "inline", "data": "YXZjQw=="},
            {"id": "audio", "type": "inline", "data": "EZA="}
        ]
    });
    let json = catalog().to_json();
    let written: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(written, expected);
    let text = String::from_utf8(json).unwrap();
    assert!(text.find("initDataList") > text.find("tracks"), "data last");
}

#[test]
fn a_catalog_round_trips_with_its_configurations() {
    let catalog = catalog();
    let parsed = Catalog::parse(&catalog.to_json()).unwrap();
    assert_eq!(parsed, catalog);
    let video = parsed.track_of(ROLE_VIDEO).unwrap();
    let config = parsed.config_of(video).unwrap();
    assert_eq!(config.as_deref(), Some(&b"avcC"[..]));
    let ended = Catalog::parse(&Catalog::ended(5).to_json()).unwrap();
    assert!(ended.is_complete && ended.tracks.is_empty());
    assert!(ended.track_of(ROLE_AUDIO).is_none());
}

#[test]
fn catalogs_of_other_hands_are_read() {
    let json = br#"{"version":1,"extra":{"deep":[1]},"tracks":[
        {"name":"0","packaging":"loc","isLive":true,"codec":"avc3.640028","framerate":29.97},
        {"name":"1","samplerate":48000.0,"channelConfig":2,"bitrate":"96000","initRef":7,
         "unknown":null,"width":null}, {"packaging":"loc"}],
        "initDataList":[{"id":7,"type":"inline","data":"EZA="}]}"#;
    let catalog = Catalog::parse(json).unwrap();
    assert_eq!(catalog.version, "1");
    assert_eq!(catalog.tracks.len(), 2, "a track without a name is dropped");
    let audio = &catalog.tracks[1];
    assert_eq!(audio.samplerate, Some(48_000));
    assert_eq!(audio.channel_config.as_deref(), Some("2"));
    assert_eq!(audio.bitrate, Some(96_000));
    let config = catalog.config_of(audio).unwrap();
    assert_eq!(config.as_deref(), Some(&[0x11, 0x90][..]));
    assert_eq!(catalog.tracks[0].framerate, Some(29.97));
    let none = catalog.config_of(&catalog.tracks[0]).unwrap();
    assert_eq!(none, None);
}

#[test]
fn configurations_that_cannot_be_read_are_named() {
    let mut catalog = catalog();
    catalog.init_data[0].data = "not base64".to_owned();
    catalog.init_data[1].kind = "track-property".to_owned();
    for track in &catalog.tracks {
        let error = catalog.config_of(track).unwrap_err();
        assert!(matches!(error, CatalogError::BadInitData(id) if id == track.name));
    }
    catalog.init_data.clear();
    let error = catalog.config_of(&catalog.tracks[0]).unwrap_err();
    assert_eq!(error.to_string(), "no initialization data `video`");
}

#[test]
fn what_is_no_whole_catalog_is_refused_by_name() {
    let refused = |json: &[u8]| Catalog::parse(json).unwrap_err();
    let delta = br#"{"generatedAt":1,"deltaUpdate":[{"op":"add","tracks":[]}]}"#;
    assert!(matches!(refused(delta), CatalogError::Delta));
    assert!(matches!(refused(b"{"), CatalogError::Json(_)));
    assert!(matches!(refused(b"[]"), CatalogError::NotAnObject));
    assert!(matches!(refused(b""), CatalogError::NotAnObject));
    let long = vec![b' '; CATALOG_LEN_MAX + 1];
    assert!(matches!(refused(&long), CatalogError::TooLong(65_537)));
    let mut many = Catalog::live(0);
    for _ in 0..=TRACKS_MAX {
        many.push(Track::live("t", ROLE_VIDEO, "vp8"), None);
    }
    let error = refused(&many.to_json());
    assert!(matches!(error, CatalogError::TooManyTracks(65)));
    let deep = format!("{{\"x\":{}", "[".repeat(10_000));
    assert!(matches!(refused(deep.as_bytes()), CatalogError::Json(_)));
}
