//! The policy at each of its doors.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use super::*;

const NOW_S: u64 = 1_800_000_000;

/// An octet key of 32 zero bytes, in a set.
const JWKS: &str = r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"one",
    "k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

fn token(claims: &serde_json::Value) -> String {
    let header = Header {
        kid: Some("one".to_owned()),
        ..Header::default()
    };
    encode(&header, claims, &EncodingKey::from_secret(&[0; 32])).unwrap()
}

fn policy() -> Policy {
    let key = |stream: &str, name: &str, secret| Key {
        stream: stream.to_owned(),
        name: name.to_owned(),
        secret,
        may: vec![Action::Publish],
        expires_s: None,
        revoked: false,
    };
    Policy {
        keys: vec![
            key("live/cam", "old", Secret::plain("old-secret").unwrap()),
            key("live/cam", "new", Secret::plain("new-secret").unwrap()),
        ],
        tokens: Some(Tokens::new(JWKS, None, None).unwrap()),
        ..Policy::default()
    }
}

fn attempt(action: Action, name: &str, addr: &str, credentials: &[&str]) -> Attempt {
    Attempt {
        action,
        name: name.to_owned(),
        addr: addr.parse().unwrap(),
        credentials: credentials.iter().map(|text| (*text).to_owned()).collect(),
        key_in_name: action == Action::Publish,
        now_s: NOW_S,
    }
}

const REMOTE: &str = "192.0.2.7";

#[track_caller]
fn kind(policy: &Policy, attempt: &Attempt) -> DenialKind {
    let denial = policy.decide(attempt).unwrap_err();
    for credential in &attempt.credentials {
        assert!(!denial.reason.contains(credential), "{denial}");
    }
    denial.kind
}

#[test]
fn without_configuration_watching_is_open_and_publishing_is_local() {
    let policy = Policy::default();
    let publish = |addr| policy.decide(&attempt(Action::Publish, "live/cam", addr, &[]));
    assert_eq!(publish("127.0.0.1").unwrap().name, "live/cam");
    assert!(publish("::1").is_ok() && publish("::ffff:127.0.0.1").is_ok());
    let denial = publish(REMOTE).unwrap_err();
    assert_eq!(denial.kind, DenialKind::Missing);
    assert!(denial.reason.contains("weir key live/cam"), "{denial}");
    let watch = attempt(Action::Watch, "live/cam", REMOTE, &[]);
    assert!(policy.decide(&watch).is_ok());
    let control = attempt(Action::Control, "", REMOTE, &[]);
    assert_eq!(kind(&policy, &control), DenialKind::Missing);
}

#[test]
fn every_key_of_a_stream_opens_it_in_the_query_and_as_the_name() {
    let policy = policy();
    for secret in ["old-secret", "new-secret"] {
        let shown = attempt(Action::Publish, "live/cam", REMOTE, &[secret]);
        assert_eq!(policy.decide(&shown).unwrap().name, "live/cam");
        let named = format!("live/{secret}");
        let grant = policy.decide(&attempt(Action::Publish, &named, REMOTE, &[]));
        let grant = grant.unwrap();
        assert_eq!(grant.name, "live/cam", "the key is not the public name");
        assert_eq!(grant.who.as_deref(), secret.strip_suffix("-secret"));
    }
    let other = attempt(Action::Publish, "live/other", REMOTE, &["new-secret"]);
    assert_eq!(kind(&policy, &other), DenialKind::Wrong);
    let wrong = attempt(Action::Publish, "live/cam", "127.0.0.1", &["guess-guess"]);
    assert_eq!(kind(&policy, &wrong), DenialKind::Wrong);
    let local = attempt(Action::Publish, "live/cam", "127.0.0.1", &[]);
    assert_eq!(kind(&policy, &local), DenialKind::Missing, "it has keys");
}

#[test]
fn key_ends_by_time_by_revocation_and_at_its_scope() {
    let mut policy = policy();
    policy.keys[0].expires_s = Some(NOW_S);
    policy.keys[1].revoked = true;
    let publish = |secret| attempt(Action::Publish, "live/cam", REMOTE, &[secret]);
    assert_eq!(kind(&policy, &publish("old-secret")), DenialKind::Expired);
    assert_eq!(kind(&policy, &publish("new-secret")), DenialKind::Wrong);
    policy.keys[0].expires_s = Some(NOW_S + 9);
    let grant = policy.decide(&publish("old-secret")).unwrap();
    assert_eq!(grant.until_s, Some(NOW_S + 9));
    let watch = attempt(Action::Watch, "live/cam", REMOTE, &["old-secret"]);
    assert_eq!(kind(&policy, &watch), DenialKind::Scope);
}

#[test]
fn argon2_and_sha256_hashes_are_keys_too() {
    let hashed = Secret::hash(&Secret::sha256_of("some long key")).unwrap();
    assert!(hashed.matches("some long key") && !hashed.matches("some long kez"));
    assert!(!hashed.is_costly());
    // Made by the argon2 reference program, of "hunter2hunter2".
    assert_eq!(
        Secret::hash("$argon2id$nonsense").unwrap_err(),
        SecretError::Form
    );
    let made = {
        use argon2::PasswordHasher;
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 =
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let salt = argon2::password_hash::SaltString::from_b64("c29tZXNhbHQ").unwrap();
        argon2
            .hash_password(b"hunter2hunter2", &salt)
            .unwrap()
            .to_string()
    };
    let chosen = Secret::hash(&made).unwrap();
    assert!(chosen.is_costly() && chosen.matches("hunter2hunter2") && !chosen.matches("hunter2"));
}

#[test]
fn token_is_good_for_its_paths_and_its_time() {
    let policy = Policy {
        watch: Door::Credential,
        ..policy()
    };
    let claims = serde_json::json!({
        "sub": "anna", "exp": NOW_S + 60, "publish": ["live/cam"], "watch": ["live/*"],
    });
    let good = token(&claims);
    let try_it = |action, name| policy.decide(&attempt(action, name, REMOTE, &[&good]));
    let grant = try_it(Action::Publish, "live/cam").unwrap();
    assert_eq!(grant.who.as_deref(), Some("anna"));
    assert_eq!(grant.until_s, Some(NOW_S + 60));
    assert!(try_it(Action::Watch, "live/other").is_ok());
    assert!(try_it(Action::List, "live").is_ok());
    for (action, name) in [
        (Action::Publish, "live/other"),
        (Action::Watch, "lively/cam"),
        (Action::Watch, "live"),
        (Action::List, ""),
        (Action::Control, ""),
    ] {
        let denial = try_it(action, name).unwrap_err();
        assert_eq!(denial.kind, DenialKind::Scope, "{action:?} {name}");
    }
    let late = token(&serde_json::json!({"exp": NOW_S, "watch": ["*"]}));
    let watch = |token: &str| attempt(Action::Watch, "live/cam", REMOTE, &[token]);
    assert_eq!(kind(&policy, &watch(&late)), DenialKind::Expired);
    let early = token(&serde_json::json!({"nbf": NOW_S + 600, "watch": ["*"]}));
    assert_eq!(kind(&policy, &watch(&early)), DenialKind::Wrong);
    assert_eq!(
        kind(&policy, &attempt(Action::Watch, "live/cam", REMOTE, &[])),
        DenialKind::Missing
    );
}

#[test]
fn forged_tokens_are_refused() {
    let policy = policy();
    let claims = serde_json::json!({"publish": ["*"]});
    let other = EncodingKey::from_secret(&[1; 32]);
    let forged = encode(&Header::default(), &claims, &other).unwrap();
    let publish = |token: &str| attempt(Action::Publish, "live/cam", REMOTE, &[token]);
    assert_eq!(kind(&policy, &publish(&forged)), DenialKind::Wrong);
    let good = token(&claims);
    assert!(policy.decide(&publish(&good)).is_ok());
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        kind(&policy, &publish(&format!("{signed}."))),
        DenialKind::Wrong
    );
    // {"alg":"none"}
    let (_, body) = signed.split_once('.').unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    assert_eq!(kind(&policy, &publish(&none)), DenialKind::Wrong);
}

#[test]
fn issuer_and_audience_are_checked_where_they_are_named() {
    let named = |name: &str| Some(name.to_owned());
    let policy = Policy {
        tokens: Some(Tokens::new(JWKS, named("us"), named("relay")).unwrap()),
        ..Policy::default()
    };
    let decide = |claims: serde_json::Value| {
        let token = token(&claims);
        policy.decide(&attempt(Action::Publish, "a/b", REMOTE, &[&token]))
    };
    let scope = ["*"];
    let good = serde_json::json!({"iss": "us", "aud": ["relay", "x"], "publish": scope});
    assert!(decide(good).is_ok());
    for bad in [
        serde_json::json!({"iss": "them", "aud": "relay", "publish": scope}),
        serde_json::json!({"iss": "us", "aud": "other", "publish": scope}),
        serde_json::json!({"publish": scope}),
    ] {
        assert!(decide(bad).is_err());
    }
}

#[test]
fn key_sets_that_cannot_work_are_refused_whole() {
    let new = |text: &str| Tokens::new(text, None, None).unwrap_err();
    assert_eq!(new("[]"), TokenError::NoKeySet);
    assert_eq!(new(r#"{"keys":[]}"#), TokenError::Empty);
    let without_alg = r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#;
    assert_eq!(new(without_alg), TokenError::Key(0));
}

#[test]
fn query_has_credentials_by_name_and_decoded() {
    let found = credentials_of_query("x=1&token=a.b&key=s%20t&jwt=&key");
    assert_eq!(found, ["s t", "a.b"]);
    assert!(credentials_of_query("token=%zz&key=%").is_empty());
}

/// Private keys in PKCS #8, made for this test.
const P256: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFxtWTDuZdSreLJn0YgJ88gilT1\
    iwGYHMtNFGQRjL\
    cV2hRANCAAT2rqDaGnBIiQXQBpIbdTitanKCpU/QzJFuXjdrm+Pfiy0ZFAAXbn9kZAtlZITlRxKTwQRWevs0YVV7\
    /OKpHnq/";
const P384: &str = "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAKd4IkUExr6NDtcNJRceT8ZzDnqW\
    UKiM7ZJDM5B4sg\
    hwE0jlM3CQmakExv6BwWvAyhZANiAAR5Rv9JkkiyR62sNG0gusz6Ky9vs/UpNS4YfXv3DEdvvyEyA3EtrVjFVhQ3\
    3ukpaHYu15C0P6k9GxYRVc5zhI1qouiaH38ci4Kc9TLWguxWqtFSiLbrqP2wI4mw+KPj3vA=";
const ED25519: &str = "MC4CAQAwBQYDK2VwBCIEIFxStjRq0QA7JwcG2HgK1Kd4jZGYujX4o+qynLmi/Ozq";

/// Their public halves.
const PUBLIC: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","alg":"ES256","kid":"a",
     "x":"9q6g2hpwSIkF0AaSG3U4rWpygqVP0MyRbl43a5vj34s",
     "y":"LRkUABduf2RkC2VkhOVHEpPBBFZ6-zRhVXv84qkeer8"},
    {"kty":"EC","crv":"P-384","alg":"ES384","kid":"b",
     "x":"eUb_SZJIsketrDRtILrM-isvb7P1KTUuGH179wxHb78hMgNxLa1YxVYUN97pKWh2",
     "y":"LteQtD-pPRsWEVXOc4SNaqLomh9_HIuCnPUy1oLsVqrRUoi266j9sCOJsPij497w"},
    {"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"c",
     "x":"zORL_clDS-WuxBaNMIc2GNxgtFE_wKaSlVuiQJ-BafY"}]}"#;

#[test]
fn tokens_may_be_signed_with_keys_that_the_relay_does_not_have() {
    let policy = Policy {
        tokens: Some(Tokens::new(PUBLIC, None, None).unwrap()),
        ..Policy::default()
    };
    let der = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let keys = [
        ("a", Algorithm::ES256, EncodingKey::from_ec_der(&der(P256))),
        ("b", Algorithm::ES384, EncodingKey::from_ec_der(&der(P384))),
        (
            "c",
            Algorithm::EdDSA,
            EncodingKey::from_ed_der(&der(ED25519)),
        ),
    ];
    for (id, algorithm, key) in &keys {
        let header = Header {
            kid: Some((*id).to_owned()),
            ..Header::new(*algorithm)
        };
        let claims = serde_json::json!({"publish": ["live/*"], "exp": NOW_S + 5});
        let token = encode(&header, &claims, key).unwrap();
        let good = attempt(Action::Publish, "live/cam", REMOTE, &[&token]);
        assert_eq!(
            policy.decide(&good).unwrap().until_s,
            Some(NOW_S + 5),
            "{id}"
        );
        // Signed by another key than the one it names.
        let named = Header {
            kid: Some("a".to_owned()),
            ..Header::new(*algorithm)
        };
        let (_, _, other) = &keys[(keys.len() - 1).min(2)];
        if let Ok(forged) = encode(&named, &claims, other) {
            let bad = attempt(Action::Publish, "live/cam", REMOTE, &[&forged]);
            assert_eq!(kind(&policy, &bad), DenialKind::Wrong, "{id}");
        }
    }
}
