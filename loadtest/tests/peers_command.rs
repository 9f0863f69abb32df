//! `weir-loadtest peers` as its user meets it, when one of the peers is not there.

use std::process::Command;

#[test]
fn a_peer_that_cannot_start_is_told_and_those_that_ran_are_in_the_table_all_the_same() {
    // The peer that fails is the first of each round.
    let who = [
        "--only",
        "moq-relay,weir-1",
        "--moq-relay",
        "/no/such/moq-relay",
    ];
    let work = [
        "--works",
        "fanout",
        "--viewers",
        "2",
        "--frame-bytes",
        "1000",
    ];
    let time = ["--rounds", "2", "--duration", "1s"];
    let output = Command::new(env!("CARGO_BIN_EXE_weir-loadtest"))
        .arg("peers")
        .args([&who[..], &work, &time].concat())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{told}");
    let failures: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    assert_eq!(failures.len(), 2, "one a round: {told}");
    assert!(failures[0].contains("/no/such/moq-relay"), "{told}");
    assert!(told.contains("2 runs failed"), "{told}");
    let row = |name: &str| table.lines().find(|line| line.starts_with(name));
    let missing = row("| moq-relay, default |").unwrap_or_default();
    assert!(
        !missing.contains(|c: char| c.is_ascii_digit() && c != '0'),
        "{table}"
    );
    let weir = row("| Weir, 1 shard |").unwrap_or_default();
    assert!(weir.contains("1.00 x"), "{table}");
}
