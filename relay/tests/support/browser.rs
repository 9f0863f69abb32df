//! A real Chromium without a display, driven by chromedriver in plain WebDriver.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use super::process::{Process, Scratch, wait_for};

/// Time for the driver and the browser to come up on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Drivers that are started until one has its port.
const DRIVERS: usize = 5;

/// Time a command may take; scripts have their own limit below it.
const ANSWER: Duration = Duration::from_secs(60);

/// Time a script of a test may take in the page, in milliseconds.
const SCRIPT_MS: u64 = 45_000;

/// How it is started. WebTransport needs QUIC, so that is not switched off.
const ARGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,800",
];

/// A name of this machine that is not `localhost`, so that pages of it are not secure.
pub(crate) const ELSEWHERE: &str = "elsewhere.test";

/// A browser with one page.
pub(crate) struct Browser {
    driver: Process,
    addr: SocketAddr,
    session: String,
    /// What the browser keeps; removed with it.
    profile: Scratch,
}

impl Browser {
    /// Starts a browser with an empty page.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments for the browser.
    #[track_caller]
    pub(crate) fn start_with(more: &[&str]) -> Self {
        // The driver would say that there is no browser; this says which package brings it.
        Process::succeed("chromium", Command::new("chromium").arg("--version"), START);
        let (driver, port) = start_driver();
        let mut browser = Self {
            driver,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            profile: Scratch::new("profile"),
        };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let elsewhere = format!("--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1");
        let args = [ARGS, &[&profile, &elsewhere], more].concat();
        let options = json!({ "binary": "/usr/bin/chromium", "args": args });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options, "timeouts": { "script": SCRIPT_MS },
        }}});
        let opened = browser.call("POST", "/session", &wanted);
        let session = opened["sessionId"].as_str().unwrap();
        browser.session = format!("/session/{session}");
        browser
    }

    /// Opens `url`.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.call(
            "POST",
            &format!("{}/url", self.session),
            &json!({ "url": url }),
        );
    }

    /// Runs the body of a function in the page and gives what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.call("POST", &format!("{}/execute/sync", self.session), &body)
    }

    /// The same for the body of an `async` function.
    #[track_caller]
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let wrapped = format!(
            "const done = arguments[0];
             (async () => {{ {script} }})().then(done, (error) => done(`failed: ${{error}}`));"
        );
        let body = json!({ "script": wrapped, "args": [] });
        self.call("POST", &format!("{}/execute/async", self.session), &body)
    }

    /// Waits until the body of a function returns true in the page.
    #[track_caller]
    pub(crate) fn wait_true(&self, what: &str, script: &str) {
        wait_for(what, ANSWER, || {
            let found = self.run(script);
            match found == true {
                true => Ok(()),
                false => Err(found.to_string()),
            }
        });
    }

    /// Opens another tab in front and gives the one that was there, for [`Self::show_tab`].
    #[track_caller]
    pub(crate) fn cover_tab(&self) -> String {
        let path = format!("{}/window", self.session);
        let before = self.call("GET", &path, &Value::Null);
        let opened = self.call("POST", &format!("{path}/new"), &json!({ "type": "tab" }));
        self.call("POST", &path, &json!({ "handle": opened["handle"] }));
        before.as_str().unwrap().to_owned()
    }

    /// Closes the tab in front and goes back to `tab`.
    #[track_caller]
    pub(crate) fn show_tab(&self, tab: &str) {
        let path = format!("{}/window", self.session);
        self.call("DELETE", &path, &Value::Null);
        self.call("POST", &path, &json!({ "handle": tab }));
    }

    /// A command of the Chrome DevTools protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        let path = format!("{}/goog/cdp/execute", self.session);
        self.call("POST", &path, &json!({ "cmd": command, "params": params }))
    }

    /// Presses a key as a person does.
    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        let action = |kind: &str| json!({ "type": kind, "value": key });
        let keyboard = json!({ "type": "key", "id": "keys",
            "actions": [action("keyDown"), action("keyUp")] });
        let body = json!({ "actions": [keyboard] });
        self.call("POST", &format!("{}/actions", self.session), &body);
    }

    /// A picture of the window, as PNG.
    #[track_caller]
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let path = format!("{}/screenshot", self.session);
        let encoded = self.call("GET", &path, &Value::Null);
        let encoded = encoded.as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .unwrap()
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = request(self.addr, method, path, body);
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let value = answer["value"].clone();
        let failed = value.get("error").filter(|error| error.is_string());
        assert!(failed.is_none(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser; when it does not answer, its group is killed with it.
        let ended = request(self.addr, "DELETE", &self.session, &Value::Null);
        drop(ended);
    }
}

/// chromedriver chooses a port before it binds it, so that two of them may choose the same one:
/// the one that loses ends, and another is started.
#[track_caller]
fn start_driver() -> (Process, u16) {
    for _ in 0..DRIVERS {
        let mut command = Command::new("chromedriver");
        let mut driver = Process::spawn("driver", command.arg("--port=0"));
        let port = wait_for("chromedriver's port", START, || {
            let running = driver.is_running();
            let said = driver.stdout();
            let port = said.split_once("successfully on port ");
            let port = port.and_then(|(_, rest)| rest.split_once('.')?.0.parse::<u16>().ok());
            match port {
                Some(port) => Ok(Some(port)),
                None if running => Err(said),
                None => Ok(None),
            }
        });
        if let Some(port) = port {
            return (driver, port);
        }
    }
    panic!("chromedriver ended {DRIVERS} times");
}

/// chromedriver keeps connections open, so an answer ends where its length says.
fn request(addr: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    exchange(addr, method, path, body)
        .map_err(|error| error.to_string())
        .and_then(|answer| serde_json::from_slice(&answer).map_err(|error| error.to_string()))
}

fn exchange(addr: SocketAddr, method: &str, path: &str, body: &Value) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(ANSWER))?;
    let body = match body.is_null() {
        true => String::new(),
        false => body.to_string(),
    };
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    Ok(answer)
}
