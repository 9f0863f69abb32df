//! The rules of the tree, as tests: who may import whom, what is pure, how long things get.
//! The rules are data in `tidy/`; a room that is renamed, split or merged changes them there.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken rule is reported by a panic"
)]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text.rs"]
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Folders whose `.rs` files the rules hold for.
const FOLDERS: &[&str] = &[
    "relay/src",
    "relay/tests",
    "protocol/examples",
    "protocol/src",
    "protocol/tests",
    "loadtest/src",
    "loadtest/tests",
    "benches",
    "fuzz/src",
    "fuzz/tests",
    "fuzz/fuzz_targets",
];

/// What may lie at the top of the repository besides dotfiles; `target` is cargo's.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "benches",
    "fuzz",
    "loadtest",
    "protocol",
    "relay",
    "target",
];

#[test]
fn every_file_keeps_the_rules_of_style() {
    report(sources().iter().flat_map(text::check).collect());
}

#[test]
fn all_unsafe_code_is_in_the_inventory() {
    report(text::unsafe_inventory(&sources()));
}

#[test]
fn every_import_keeps_to_the_rooms() {
    report(sources().iter().flat_map(imports::check).collect());
}

#[test]
fn no_crate_links_what_it_must_not() {
    let packages = dependencies::NEVER.iter().map(|(package, _, _)| *package);
    report(
        packages
            .flat_map(|p| dependencies::check(p, &dependencies::linked(p)))
            .collect(),
    );
}

#[test]
fn the_top_of_the_repository_holds_nothing_else() {
    let entries = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    report(strays(&names));
}

#[test]
fn a_stray_at_the_top_is_caught() {
    let names = [".ci", "Cargo.toml", "notes.md"].map(str::to_owned);
    assert_eq!(strays(&names).len(), 1);
}

fn strays(names: &[String]) -> Vec<String> {
    let stray = |name: &&String| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str());
    names
        .iter()
        .filter(stray)
        .map(|name| format!("{name}: not a place of the top level"))
        .collect()
}

fn report(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&root(), folder, &mut found);
    }
    assert!(
        found.len() > 10,
        "only {} source files found: are the folders right?",
        found.len()
    );
    found
}

fn collect(root: &Path, folder: &str, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return;
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            collect(root, &path, found);
        } else if name.ends_with(".rs") {
            found.push(Source::new(
                &path,
                &fs::read_to_string(root.join(&path)).unwrap(),
            ));
        }
    }
}
