//! Rules about packages: what a crate's normal dependency tree must not hold.

use std::collections::BTreeSet;
use std::process::Command;

/// `(package, packages that it must not link, why)`.
pub(crate) const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "weir-protocol",
        &[
            "tokio",
            "quinn",
            "quinn-proto",
            "mio",
            "socket2",
            "rand",
            "getrandom",
            "parking_lot",
        ],
        "bytes in, meaning out: no sockets, tasks, locks or chance",
    ),
    (
        "weir-relay",
        &[
            "rtmp",
            "failure",
            "openssl",
            "openssl-sys",
            "native-tls",
            "ring",
            "weir-loadtest",
        ],
        "RTMP is our own code, aws-lc is the one crypto library, tests stay out of the binary",
    ),
    (
        "weir-loadtest",
        &["weir-relay", "rtmp"],
        "a load tester measures the relay from outside",
    ),
];

/// Names of the packages that `package` links for this machine, without its dev-dependencies.
///
/// # Panics
/// When cargo cannot tell, with what it said.
pub(crate) fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("cannot run cargo tree: {error}"));
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    names(&String::from_utf8_lossy(&output.stdout))
}

fn names(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Every package of `linked` that `package` must not link.
pub(crate) fn check(package: &str, linked: &BTreeSet<String>) -> Vec<String> {
    let rules = NEVER.iter().filter(|(name, _, _)| *name == package);
    rules
        .flat_map(|(_, never, why)| {
            let found = never.iter().filter(|name| linked.contains(**name));
            found.map(move |name| format!("{package} links {name}: {why}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_runtime_is_caught() {
        let tree = "weir-protocol v0.1.0 (/x/protocol)\nbytes v1.12.1\ntokio v1.54.0 (*)\n";
        let found = check("weir-protocol", &names(tree));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("tokio"), "{found:?}");
    }

    #[test]
    fn cargo_names_the_packages_of_a_crate() {
        let linked = linked("weir-protocol");
        assert!(
            linked.contains("weir-protocol") && linked.contains("bytes"),
            "{linked:?}"
        );
    }
}
