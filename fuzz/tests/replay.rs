//! Replays every corpus through its target, so that what a fuzzer found stays fixed, and runs each
//! target for a moment on damaged and spliced copies of its corpus.
#![allow(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read fails the test"
)]

#[path = "replay/mutate.rs"]
mod mutate;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mutate::Mutator;
use weir_fuzz::TARGETS;

/// How long each target runs on new inputs, in milliseconds; `WEIR_FUZZ_MS` is another time.
const MOMENT_MS: u64 = 1_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn entries(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = root().join("corpus").join(name);
    let files = entries(&directory).into_iter();
    files
        .map(|file| {
            let bytes = std::fs::read(directory.join(&file)).unwrap();
            (file, bytes)
        })
        .collect()
}

#[test]
fn every_corpus_passes() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (file, bytes) in files {
            println!("{name}/{file}");
            target(&bytes);
        }
    }
}

#[test]
fn targets_programs_and_corpora_go_together() {
    let root = root();
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name occurs twice");
    assert_eq!(entries(&root.join("corpus")), targets);
    let programs = entries(&root.join("fuzz_targets"));
    let programs: BTreeSet<_> = programs
        .iter()
        .filter_map(|file| file.strip_suffix(".rs"))
        .map(str::to_owned)
        .collect();
    assert_eq!(programs, targets);
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for name in targets {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{name}");
    }
}

/// Corpora are starting points: each run goes a little further, from a seed that it prints.
/// `WEIR_SEED=N` goes the same way again.
#[test]
fn each_target_runs_for_a_moment() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed = number("WEIR_SEED").unwrap_or_else(mutate::seed_of_now);
    let moment = Duration::from_millis(number("WEIR_FUZZ_MS").unwrap_or(MOMENT_MS));
    println!("WEIR_SEED={seed}");
    for (index, (name, target)) in TARGETS.iter().enumerate() {
        let corpus: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let mut mutator = Mutator::new(seed.wrapping_add(index as u64), corpus);
        let runs = mutate::for_a(moment, || {
            let input = mutator.next_input();
            let ran = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(
                ran.is_ok(),
                "{name} fails: WEIR_SEED={seed}, input {}",
                mutate::hex(&input)
            );
        });
        println!("{name}: {runs} inputs");
        assert!(runs > 0);
    }
}
