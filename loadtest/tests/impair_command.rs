//! `weir-loadtest impair` as its user meets it: the real binary, its output and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader, Read},
    net::UdpSocket,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

fn impair(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-loadtest"));
    command.arg("impair").args(args).stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    impair(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ends the child also when an assertion fails.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_forwards_and_counts_when_interrupted() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = format!("127.0.0.1:0={}", server.local_addr().unwrap());
    let args = [
        "--udp",
        &udp,
        "--tcp",
        "127.0.0.1:0=127.0.0.1:9",
        "--delay",
        "20ms",
    ];
    let mut child = Running(
        impair(&args)
            .args(["--up-blackhole", "60m..", "--seed", "7"])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line = || lines.next().map(Result::unwrap).unwrap_or_default();
    let first = line();
    if first.is_empty() {
        let mut told = String::new();
        child
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        panic!("it did not start: {told}");
    }
    let proxy = first.strip_prefix("udp=").unwrap().to_owned();
    assert!(line().starts_with("tcp=127.0.0.1:"));
    assert_eq!(line(), "ready");

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", &proxy).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut buf = [0; 16];
    assert_eq!(server.recv(&mut buf).unwrap(), 5);
    child.signal("-INT");
    let counted = line();
    assert!(
        counted.starts_with(&format!("udp {proxy} up: packets_in=1 bytes_in=5 ")),
        "{counted}"
    );
    assert!(line().contains("down: packets_in=0 "));
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn bad_usage_is_exit_64_and_says_what_would_be_understood() {
    let route = "127.0.0.1:0=127.0.0.1:9";
    for (args, told) in [
        (
            &["--udp", route, "--delay", "50"][..],
            "needs a unit, as in 50ms",
        ),
        (
            &["--udp", route, "--up-loss", "200%"],
            "between 0% and 100%",
        ),
        (&["--tcp", "1935"], "LISTEN=TARGET"),
        (&["--delay", "5ms"], "--udp"),
        (&["--udp", route, "--latency", "5ms"], "--latency"),
    ] {
        let output = output(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(
            stderr(&output).contains(told),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_port_in_use_is_exit_1_and_one_line_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let output = output(&["--udp", &format!("{addr}=127.0.0.1:9")]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains(&addr.to_string()) && told.contains("in use"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn help_is_not_an_error() {
    let output = output(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("--down-reorder-delay"), "{told}");
}
