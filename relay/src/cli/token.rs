//! `weir token`: makes tokens, and says what is in one.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use crate::clock;

/// Arguments of `weir token`.
#[derive(clap::Args, Debug)]
pub struct TokenArgs {
    /// Key set (JWKS) whose first HS key signs: `weir key --set` makes one
    #[arg(long, value_name = "FILE", required_unless_present = "inspect")]
    jwks: Option<PathBuf>,
    /// A stream that the bearer may publish: live/cam, live/* or *; may be repeated
    #[arg(long, value_name = "STREAM")]
    publish: Vec<String>,
    /// A stream that the bearer may watch; may be repeated
    #[arg(long, value_name = "STREAM")]
    watch: Vec<String>,
    /// Let the bearer see the dashboard, the API and the metrics
    #[arg(long)]
    control: bool,
    /// Who the bearer is
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Who makes the token, where the relay asks for it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// For whom it is made, where the relay asks for it
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Hours until it ends
    #[arg(long, value_name = "N", default_value_t = 24)]
    hours: u32,
    /// Show what a token says instead, without verifying it
    #[arg(long, value_name = "TOKEN", conflicts_with = "jwks")]
    inspect: Option<String>,
}

/// Prints a token, or what is in one.
pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let text = match (&args.inspect, &args.jwks) {
        (Some(token), _) => inspect(token)?,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| path.display().to_string())?;
            sign(args, &text, clock::unix_ms() / 1000)?
        }
        (None, None) => bail!("give --jwks FILE"),
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn sign(args: &TokenArgs, jwks: &str, now_s: u64) -> anyhow::Result<String> {
    if args.publish.is_empty() && args.watch.is_empty() && !args.control {
        bail!("the token would allow nothing: give --publish, --watch or --control");
    }
    // The reason could quote the keys.
    let set: JwkSet = serde_json::from_str(jwks).map_err(|_| anyhow::anyhow!("no key set"))?;
    let octets =
        |key: &&jsonwebtoken::jwk::Jwk| matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    let key = set.keys.iter().find(octets);
    let key = key.context("no key of the set has a secret to sign with (kty oct)")?;
    let AlgorithmParameters::OctetKey(octets) = &key.algorithm else {
        bail!("no secret")
    };
    let secret = BASE64_URL_SAFE_NO_PAD.decode(octets.value.trim_end_matches('='));
    let secret = secret.map_err(|_| anyhow::anyhow!("the key's \"k\" is not base64url"))?;
    let secret = EncodingKey::from_secret(&secret);
    let named = key
        .common
        .key_algorithm
        .map(|algorithm| algorithm.to_string());
    let algorithm = named.and_then(|name| name.parse().ok());
    let header = Header {
        alg: algorithm.unwrap_or(Algorithm::HS256),
        kid: key.common.key_id.clone(),
        ..Header::default()
    };
    let mut claims = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        claims.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("exp", Some((now_s + u64::from(args.hours) * 3600).into()));
    add("publish", some(&args.publish));
    add("watch", some(&args.watch));
    add("control", args.control.then_some(true.into()));
    add("sub", args.subject.clone().map(Value::from));
    add("iss", args.issuer.clone().map(Value::from));
    add("aud", args.audience.clone().map(Value::from));
    let token = jsonwebtoken::encode(&header, &claims, &secret);
    token.map_err(|error| anyhow::anyhow!("cannot sign: {error}"))
}

fn some(scopes: &[String]) -> Option<Value> {
    (!scopes.is_empty()).then(|| scopes.to_vec().into())
}

fn inspect(token: &str) -> anyhow::Result<String> {
    let claims = jsonwebtoken::dangerous::insecure_decode::<Map<String, Value>>(token);
    let claims = claims.map_err(|error| anyhow::anyhow!("not a token: {error}"))?;
    let header = serde_json::to_value(&claims.header).context("header")?;
    let shown = serde_json::json!({"header": header, "claims": claims.claims});
    Ok(format!("{shown:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Action, Attempt, Policy, Tokens};

    #[test]
    fn relay_takes_what_was_signed_with_its_set() {
        let jwks = r#"{"keys":[{"kty":"oct","alg":"HS384","kid":"a","k":"c2VjcmV0LW9mLXRlc3Rz"}]}"#;
        let args = TokenArgs {
            jwks: None,
            publish: vec!["live/*".to_owned()],
            watch: Vec::new(),
            control: false,
            subject: Some("anna".to_owned()),
            issuer: None,
            audience: None,
            hours: 1,
            inspect: None,
        };
        let token = sign(&args, jwks, 1_000).unwrap();
        let policy = Policy {
            tokens: Some(Tokens::new(jwks, None, None).unwrap()),
            ..Policy::default()
        };
        let grant = policy.decide(&Attempt {
            action: Action::Publish,
            name: "live/cam".to_owned(),
            addr: [192, 0, 2, 1].into(),
            credentials: vec![token.clone()],
            key_in_name: true,
            now_s: 2_000,
        });
        let grant = grant.unwrap();
        assert_eq!(
            (grant.until_s, grant.who.as_deref()),
            (Some(4_600), Some("anna"))
        );
        assert!(inspect(&token).unwrap().contains("live/*"));
        assert!(inspect("x").is_err());
    }
}
