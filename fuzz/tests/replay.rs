//! Replays every corpus through its target, so that what a fuzzer found stays fixed.

use std::collections::BTreeSet;
use std::path::Path;
use weir_fuzz::TARGETS;

fn entries(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

#[test]
fn every_corpus_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        let corpus = root.join("corpus").join(name);
        let files = entries(&corpus);
        assert!(
            !files.is_empty(),
            "{name} has no corpus in {}",
            corpus.display()
        );
        for file in files {
            println!("{name}/{file}");
            target(&std::fs::read(corpus.join(file)).unwrap());
        }
    }
}

#[test]
fn targets_programs_and_corpora_go_together() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
}

/// Corpora are starting points; damage to them goes a little further on every run.
#[test]
fn damaged_corpora_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        let corpus = root.join("corpus").join(name);
        for file in entries(&corpus) {
            let bytes = std::fs::read(corpus.join(&file)).unwrap();
            for seed in 0..64_u64 {
                let mut state = seed;
                let mut random = || {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 33) as usize
                };
                let mut damaged = bytes.clone();
                for _ in 0..1 + random() % 8 {
                    let at = random() % damaged.len().max(1);
                    if let Some(byte) = damaged.get_mut(at) {
                        *byte = random() as u8;
                    }
                }
                damaged.truncate(1 + random() % bytes.len().max(1) * 2);
                println!("{name}/{file}, seed {seed}");
                target(&damaged);
            }
        }
    }
}
