//! The relay's own parsers: configuration, credentials, tokens, players' reports.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fuzz target fails by panicking"
)]

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_protocol::moqt::Namespace;
use weir_relay::auth::{
    Action, Answer, Attempt, CREDENTIALS_MAX, Claims, Key, Policy, Secret, Tokens, Webhook,
    credentials_of_query,
};
use weir_relay::config::{Config, ConfigError, File, Options};
use weir_relay::stats::report::{MAX_FRAMES, MAX_LATENCIES, MAX_REPORT_BYTES, Report};

/// A file is a configuration, or is refused in one line that names a line of it.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains("jwks") {
        // The file that it names would be read.
        return;
    }
    let read = File::parse(text, "weir.toml");
    let error = match read.and_then(|file| Config::new(&Options::default(), &file)) {
        Ok(config) => {
            assert!(config.shards > 0);
            assert!(config.session.behind_limit_us >= 50_000);
            return;
        }
        Err(error) => error,
    };
    let shown = error.to_string();
    assert!(!shown.is_empty() && !shown.contains('\n'), "{shown:?}");
    if let ConfigError::Malformed { line, .. } = error {
        assert!((1..=text.matches('\n').count() + 1).contains(&line));
    }
}

/// The octet key of 32 zero bytes, which signs what the fuzzer claims.
const JWKS: &str = r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"one",
    "k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

const NOW_S: u64 = 1_800_000_000;
const NAME: &str = "live/cam";
const SECRET: &str = "a secret that is long enough";

fn policy() -> Policy {
    Policy {
        keys: vec![Key {
            stream: NAME.to_owned(),
            name: "studio".to_owned(),
            secret: Secret::plain(SECRET).unwrap(),
            may: vec![Action::Publish],
            expires_s: None,
            revoked: false,
        }],
        tokens: Some(Tokens::new(JWKS, None, None).unwrap()),
        ..Policy::default()
    }
}

fn attempt(action: Action, credentials: Vec<String>) -> Attempt {
    Attempt {
        action,
        name: NAME.to_owned(),
        addr: [192, 0, 2, 7].into(),
        credentials,
        key_in_name: false,
        now_s: NOW_S,
    }
}

/// A stranger's query is good only with the key in it, and no refusal repeats what it showed.
pub fn credentials(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let shown = credentials_of_query(query);
    assert!(shown.len() <= CREDENTIALS_MAX && shown.iter().all(|shown| !shown.is_empty()));
    let knows = shown.iter().any(|shown| shown == SECRET);
    match policy().decide(&attempt(Action::Publish, shown.clone())) {
        Ok(grant) => assert!(knows && grant.name == NAME),
        Err(denial) => {
            assert!(!knows, "{denial}");
            // Shorter ones are words of any sentence, and some are what stands in every refusal.
            let other = attempt(Action::Publish, vec!["-".to_owned()]);
            let usual = policy().decide(&other).err();
            let usual = usual.map_or_else(String::new, |denial| denial.reason);
            let mut told = shown
                .iter()
                .filter(|shown| shown.len() > 12 && !usual.contains(shown.as_str()));
            assert!(told.all(|shown| !denial.reason.contains(shown.as_str())));
        }
    }
}

/// A well-signed token grants what its claims say and nothing else. The first byte is what its
/// bearer wants to do.
pub fn claims(data: &[u8]) {
    let Some((choice, claims)) = data.split_first() else {
        return;
    };
    let action = [Action::Publish, Action::Watch, Action::Control][usize::from(choice % 3)];
    let header = BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","kid":"one"}"#);
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(&[0; 32]).unwrap();
    mac.update(signed.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let token = format!("{signed}.{signature}");
    let Ok(grant) = policy().decide(&attempt(action, vec![token])) else {
        return;
    };
    let claims: Claims = serde_json::from_slice(claims).unwrap();
    assert!(claims.exp.is_none_or(|end_s| end_s > NOW_S));
    let covers = |scope: &String| matches!(scope.as_str(), "*" | "live/*" | NAME);
    assert!(match action {
        Action::Publish => claims.publish.iter().any(covers),
        Action::Watch | Action::List => claims.watch.iter().any(covers),
        Action::Control => claims.control,
    });
    assert_eq!(grant.until_s, claims.exp);
}

/// A key set is usable or is refused, and never shown.
pub fn key_set(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Tokens::new(text, None, None) {
        Ok(tokens) => assert!(format!("{tokens:?}").len() < 200),
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}

/// What a server that decides answers over HTTP: its status, modulo 600 in two bytes, and its body.
/// A grant names a stream, a refusal is one short line, and what is no answer is as configured.
pub fn webhook(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else {
        return;
    };
    let Ok(body) = std::str::from_utf8(body) else {
        return;
    };
    let status = u16::from_be_bytes(*status) % 600;
    let short = |text: &str| text.chars().count() <= 200 && !text.chars().any(char::is_control);
    for open in [false, true] {
        let hook = Webhook {
            url: "http://127.0.0.1/".to_owned(),
            timeout: Duration::from_secs(1),
            open,
            cache_us: 0,
        };
        let answer = Answer::Told(status, body.to_owned());
        match (
            status,
            hook.decide(&attempt(Action::Watch, Vec::new()), answer),
        ) {
            (200..=299, Ok(grant)) => {
                assert!(Namespace::from_path(&grant.name).is_ok(), "{}", grant.name);
                assert!(grant.who.is_none_or(|who| short(&who)));
            }
            (401 | 403 | 404, decided) => assert!(short(&decided.unwrap_err().reason)),
            (200..=299, Err(_)) => assert!(!open),
            (_, decided) => assert_eq!(decided.is_ok(), open),
        }
    }
}

/// What is taken of a player's report is within its bounds.
pub fn report(data: &[u8]) {
    let Ok(report) = Report::parse(data) else {
        return;
    };
    assert!(data.len() <= MAX_REPORT_BYTES && report.latencies.len() <= MAX_LATENCIES);
    let frames: u64 = report.latencies.iter().map(|(_, frames)| frames).sum();
    assert!(frames <= MAX_FRAMES);
    for text in [&report.player, &report.state] {
        assert!(text.chars().count() <= 64 && !text.chars().any(char::is_control));
    }
    let numbers = [report.startup_ms, report.buffer_ms, report.rate, report.fps];
    assert!(numbers.iter().flatten().all(|number| *number >= 0.0));
    if frames > 0 {
        let (half, all) = (report.latency_ms(0.5), report.latency_ms(1.0));
        assert!(half <= all && half.is_some());
    }
}
