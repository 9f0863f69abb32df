//! `weir key`: a stream key, and what the configuration keeps of it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;

use crate::auth::Secret;

/// Arguments of `weir key`.
#[derive(clap::Args, Debug)]
pub struct KeyArgs {
    /// The stream that the key is for, such as live/cam
    #[arg(value_name = "STREAM", required_unless_present = "set")]
    stream: Option<String>,
    /// The key's public name: who it is given to
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Make a key set (JWKS) that signs and verifies tokens instead: see `weir token`
    #[arg(long, conflicts_with = "stream")]
    set: bool,
}

/// Prints a fresh key, and the lines that make the relay take it.
pub fn run(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let mut random = [0; KEY_BYTES];
    rand::fill(&mut random);
    let text = match &args.stream {
        Some(stream) => stream_key(stream, &args.name, &hex(&random))?,
        None => key_set(&args.name, &random),
    };
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written.and_then(|()| stdout.flush()).context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn stream_key(stream: &str, name: &str, key: &str) -> anyhow::Result<String> {
    let plain = |text: &str| {
        text.chars()
            .all(|c| c != '"' && c != '\\' && !c.is_control())
    };
    if !plain(stream) || !plain(name) {
        bail!("stream and name are given without quotes, backslashes and control characters");
    }
    let namespace = weir_protocol::moqt::Namespace::from_path(stream);
    namespace.with_context(|| format!("{stream:?} is no name of a stream like live/cam"))?;
    let (app, last) = stream.rsplit_once('/').unwrap_or((stream, ""));
    let hash = Secret::sha256_of(key);
    Ok(format!(
        "# The key, which is shown here only. In OBS: server rtmp://HOST/{app}, stream key\n\
         # {last}?key={key}\n\
         # For the relay's configuration file:\n\
         [[auth.key]]\n\
         stream = \"{stream}\"\n\
         name = \"{name}\"\n\
         hash = \"{hash}\"\n"
    ))
}

fn key_set(name: &str, random: &[u8]) -> String {
    let key = serde_json::json!({
        "kty": "oct", "alg": "HS256", "use": "sig", "kid": name,
        "k": URL_SAFE_NO_PAD.encode(random),
    });
    let set = serde_json::json!({"keys": [key]});
    format!("{set:#}\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of a key: as many as its hash has.
const KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_its_hash_belong_together() {
        let text = stream_key("live/cam", "studio", "0123456789abcdef").unwrap();
        let hash = text
            .split('"')
            .find(|part| part.starts_with("sha256:"))
            .unwrap();
        assert!(Secret::hash(hash).unwrap().matches("0123456789abcdef"));
        assert!(text.contains("cam?key=0123456789abcdef"), "{text}");
        assert!(stream_key("live/\"cam", "x", "y").is_err());
    }

    #[test]
    fn key_set_verifies_tokens() {
        let set = key_set("one", &[7; 32]);
        assert!(crate::auth::Tokens::new(&set, None, None).is_ok());
    }
}
