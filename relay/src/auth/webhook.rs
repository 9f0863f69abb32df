//! A decision that another server makes: what is asked, what its answer means, and for how long.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use weir_protocol::moqt::Namespace;

use super::{Action, Attempt, Denial, DenialKind, Grant};

/// The server that decides about whom keys and tokens do not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is asked.
    pub url: String,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether everybody is let in while it cannot be asked.
    pub open: bool,
    /// How long an answer holds, in microseconds.
    pub cache_us: u64,
}

/// What it is asked, as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Question<'a> {
    action: Action,
    name: &'a str,
    addr: String,
    credentials: &'a [String],
}

/// What it may say of whom it lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Leave {
    /// The stream's public name, where what was asked for is a key.
    pub name: Option<String>,
    /// Who it is, for the log.
    pub who: Option<String>,
    /// When the leave ends, in seconds since 1970.
    pub until: Option<u64>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The status and the body of an HTTP answer.
    Told(u16, String),
    /// There is none.
    Failed(String),
}

impl<'a> Question<'a> {
    /// What is asked about an attempt.
    pub fn new(attempt: &'a Attempt) -> Self {
        Self {
            action: attempt.action,
            name: &attempt.name,
            addr: attempt.addr.to_canonical().to_string(),
            credentials: &attempt.credentials,
        }
    }
}

impl Webhook {
    /// What an answer means: 2xx lets in, with [`Leave`] or nothing in the body; 401, 403 and 404
    /// do not, for the reason in the body. Anything else is no answer.
    pub fn decide(&self, attempt: &Attempt, answer: Answer) -> Result<Grant, Denial> {
        let open = || Grant {
            name: attempt.name.clone(),
            who: None,
            until_s: None,
        };
        match answer {
            Answer::Told(200..=299, body) => match leave(&body) {
                Some(leave) => Ok(Grant {
                    name: leave.name.unwrap_or_else(|| attempt.name.clone()),
                    who: leave.who.as_deref().map(shown),
                    until_s: leave.until,
                }),
                None if self.open => Ok(open()),
                None => Err(unanswered()),
            },
            Answer::Told(401 | 403 | 404, body) => {
                let said = shown(&body);
                let reason = match said.is_empty() {
                    true => "the credential is not known".to_owned(),
                    false => said,
                };
                Err(Denial::new(DenialKind::Wrong, reason))
            }
            Answer::Told(..) | Answer::Failed(_) if self.open => Ok(open()),
            Answer::Told(..) | Answer::Failed(_) => Err(unanswered()),
        }
    }
}

/// What is said of whom is let in; none when it cannot be read, or names no stream.
fn leave(body: &str) -> Option<Leave> {
    let leave: Leave = match body.trim() {
        "" => Leave::default(),
        body => serde_json::from_str(body).ok()?,
    };
    let named = |name: &String| Namespace::from_path(name).is_ok();
    leave.name.as_ref().is_none_or(named).then_some(leave)
}

/// Text of the other server as logs and players are shown it: short, and on one line.
fn shown(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let shown = text.trim().chars().take(SAID_CHARS_MAX);
    shown.map(one_line).collect()
}

fn unanswered() -> Denial {
    let reason = "whoever decides about this cannot be asked now: try again later";
    Denial::new(DenialKind::Wrong, reason)
}

/// Answers that still hold.
#[derive(Debug, Default)]
pub struct Answers {
    known: HashMap<[u8; 32], (u64, Result<Grant, Denial>)>,
}

impl Answers {
    /// The answer about an attempt like this one, if it holds at `now_us`.
    pub fn get(&self, attempt: &Attempt, now_us: u64) -> Option<Result<Grant, Denial>> {
        let (until_us, answer) = self.known.get(&digest(attempt))?;
        (now_us < *until_us).then(|| answer.clone())
    }

    /// Keeps an answer until `until_us`.
    pub fn put(
        &mut self,
        attempt: &Attempt,
        answer: Result<Grant, Denial>,
        until_us: u64,
        now_us: u64,
    ) {
        if self.known.len() >= ANSWERS_MAX {
            self.known.retain(|_, (until_us, _)| now_us < *until_us);
        }
        if self.known.len() < ANSWERS_MAX {
            self.known.insert(digest(attempt), (until_us, answer));
        }
    }
}

/// What stands for an attempt: credentials are not kept.
fn digest(attempt: &Attempt) -> [u8; 32] {
    let mut hash = Sha256::new();
    let addr = attempt.addr.to_canonical().to_string();
    let action = attempt.action.verb();
    let parts = [action, &attempt.name, &addr];
    let credentials = attempt.credentials.iter().map(String::as_str);
    for part in parts.into_iter().chain(credentials) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Characters of a reason or a name that are passed on.
const SAID_CHARS_MAX: usize = 200;

/// Answers that are kept: some 4 MB.
const ANSWERS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(credential: &str) -> Attempt {
        Attempt {
            action: Action::Publish,
            name: "live/cam".to_owned(),
            addr: [192, 0, 2, 1].into(),
            credentials: vec![credential.to_owned()],
            key_in_name: true,
            now_s: 0,
        }
    }

    fn hook(open: bool) -> Webhook {
        Webhook {
            url: "http://127.0.0.1/".to_owned(),
            timeout: Duration::from_secs(1),
            open,
            cache_us: 1_000,
        }
    }

    #[test]
    fn answers_mean_what_http_says() {
        let decide = |status, body: &str| {
            let answer = Answer::Told(status, body.to_owned());
            hook(false).decide(&attempt("x"), answer)
        };
        assert_eq!(decide(204, "").unwrap().name, "live/cam");
        let leave = decide(200, r#"{"name":"live/public","who":"anna","until":7}"#).unwrap();
        assert_eq!(leave.name, "live/public");
        assert_eq!(
            (leave.who.as_deref(), leave.until_s),
            (Some("anna"), Some(7))
        );
        let denial = decide(403, "not today\n").unwrap_err();
        assert_eq!(denial.reason, "not today");
        let long = format!("no\n{}", "o".repeat(300));
        let reason = decide(401, &long).unwrap_err().reason;
        assert_eq!(
            reason,
            format!("no {}", "o".repeat(197)),
            "one line, and not all of it"
        );
        let nowhere = r#"{"name":"live//cam"}"#;
        for (status, body) in [(500, ""), (302, ""), (200, "<html>"), (200, nowhere)] {
            let denial = decide(status, body).unwrap_err();
            assert!(denial.reason.contains("cannot be asked"), "{status}");
        }
    }

    #[test]
    fn without_an_answer_it_is_as_configured() {
        let failed = || Answer::Failed("timed out".to_owned());
        assert!(hook(false).decide(&attempt("x"), failed()).is_err());
        assert!(hook(true).decide(&attempt("x"), failed()).is_ok());
        let told = Answer::Told(403, String::new());
        assert!(
            hook(true).decide(&attempt("x"), told).is_err(),
            "that is an answer"
        );
    }

    #[test]
    fn answers_hold_for_a_while_and_for_their_question() {
        let mut answers = Answers::default();
        let denial = || Err(Denial::new(DenialKind::Wrong, "no"));
        answers.put(&attempt("x"), denial(), 10, 0);
        assert_eq!(answers.get(&attempt("x"), 9), Some(denial()));
        assert_eq!(answers.get(&attempt("x"), 10), None);
        assert_eq!(answers.get(&attempt("y"), 9), None);
        for number in 0..ANSWERS_MAX {
            answers.put(&attempt(&number.to_string()), denial(), 20, 11);
        }
        assert_eq!(answers.known.len(), ANSWERS_MAX);
        answers.put(&attempt("more"), denial(), 20, 11);
        assert_eq!(answers.known.len(), ANSWERS_MAX);
        answers.put(&attempt("later"), denial(), 40, 30);
        assert_eq!(answers.known.len(), 1);
    }
}
