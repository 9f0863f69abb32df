//! Rules about one file by itself: lengths, the opening line, leftovers, `unsafe`.

use crate::source::Source;

/// Columns of a line. rustfmt breaks code there; strings and comments are ours to break.
const LINE_COLUMNS_MAX: usize = 100;

/// Lines of a function, signature and braces included: what fits on a screen. Experts meet it for
/// 96 to 99 of 100 functions without a rule.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a file of a `src` folder, its closing test module not counted. About 300 is the aim;
/// beyond this a file has two topics.
const FILE_LINES_MAX: usize = 450;

/// Functions that may be longer: `(path, name, why)`.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// All of our `unsafe`: `(path prefix, lines with the word, why)`.
const UNSAFE_INVENTORY: &[(&str, usize, &str)] = &[
    (
        "relay/src/net.rs",
        2,
        "TCP_INFO, which socket2 does not know",
    ),
    (
        "relay/src/net/steering.rs",
        1,
        "SO_ATTACH_REUSEPORT_CBPF, which socket2 does not know",
    ),
    (
        "relay/src/cli/allocator.rs",
        1,
        "an option of the allocator, which mimalloc does not wrap",
    ),
    (
        "benches/tests/allocations/",
        9,
        "a counting allocator has to implement GlobalAlloc",
    ),
];

/// Macros and attributes that are for the moment of writing only.
const LEFTOVER_CODE: &[&str] = &[
    concat!("to", "do!"),
    concat!("db", "g!"),
    concat!("unimpl", "emented!"),
    concat!("#[ign", "ore"),
];

/// Marks of unfinished work, in comments too.
const LEFTOVER_MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
];

/// Every complaint about the file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut complaints = Vec::from_iter(opening(source));
    complaints.extend(columns(source));
    complaints.extend(functions(source));
    complaints.extend(file_length(source));
    complaints.extend(leftovers(source));
    complaints.extend(unsafe_code(source));
    complaints
}

fn opening(source: &Source) -> Option<String> {
    let opens = source.text.starts_with("//! ");
    (!opens).then(|| {
        format!(
            "{}:1: a file opens with a `//!` line that says its role",
            source.path
        )
    })
}

fn columns(source: &Source) -> Vec<String> {
    let long = source
        .text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.chars().count()));
    long.filter(|(_, columns)| *columns > LINE_COLUMNS_MAX)
        .map(|(line, columns)| {
            format!(
                "{}:{line}: {columns} columns, {LINE_COLUMNS_MAX} are allowed",
                source.path
            )
        })
        .collect()
}

fn functions(source: &Source) -> Vec<String> {
    let excused = |name: &str| {
        LONG_FUNCTIONS
            .iter()
            .any(|l| l.0 == source.path && l.1 == name)
    };
    let functions = source.functions();
    let long = functions
        .iter()
        .filter(|f| f.lines > FUNCTION_LINES_MAX && !excused(&f.name));
    long.map(|f| {
        let (path, line, name, lines) = (&source.path, f.line, &f.name, f.lines);
        format!("{path}:{line}: `{name}` has {lines} lines, {FUNCTION_LINES_MAX} are allowed")
    })
    .collect()
}

fn file_length(source: &Source) -> Option<String> {
    let measured = source.path.contains("/src/") && !source.path.ends_with("/tests.rs");
    let lines = source.lines_without_tests();
    (measured && lines > FILE_LINES_MAX).then(|| {
        let path = &source.path;
        format!("{path}: {lines} lines without tests, {FILE_LINES_MAX} are allowed: split it")
    })
}

fn leftovers(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = source.text.lines().zip(source.code.lines());
    for (at, (text, code)) in lines.enumerate() {
        let left = LEFTOVER_CODE.iter().filter(|left| code.contains(**left));
        let marks = LEFTOVER_MARKS.iter().filter(|mark| has_word(text, mark));
        for found in left.chain(marks) {
            complaints.push(format!("{}:{}: leftover `{found}`", source.path, at + 1));
        }
    }
    complaints
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|found| found == word)
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let allowed = UNSAFE_INVENTORY
        .iter()
        .any(|(prefix, _, _)| source.path.starts_with(prefix));
    let lines: Vec<&str> = source.text.lines().collect();
    let mut complaints = Vec::new();
    for line in source.lines_with_word("unsafe") {
        if !allowed {
            complaints.push(format!(
                "{}:{line}: `unsafe` that is not in UNSAFE_INVENTORY",
                source.path
            ));
        } else if !lines[line - 1].contains("unsafe fn") && !has_safety_comment(&lines[..line - 1])
        {
            complaints.push(format!(
                "{}:{line}: `unsafe` without a SAFETY comment",
                source.path
            ));
        }
    }
    complaints
}

/// Where there is more or less `unsafe` than the inventory says.
pub(crate) fn unsafe_inventory(sources: &[Source]) -> Vec<String> {
    let entries = UNSAFE_INVENTORY.iter();
    let wrong = entries.filter_map(|(prefix, listed, why)| {
        let within = sources
            .iter()
            .filter(|source| source.path.starts_with(prefix));
        let found: usize = within
            .map(|source| source.lines_with_word("unsafe").len())
            .sum();
        (found != *listed).then(|| {
            format!("{prefix}: {found} lines of `unsafe`, {listed} in UNSAFE_INVENTORY for {why}")
        })
    });
    wrong.collect()
}

/// Whether the comments and attributes right above say `SAFETY:`.
fn has_safety_comment(above: &[&str]) -> bool {
    above
        .iter()
        .rev()
        .map(|line| line.trim_start())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["))
        .any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
    }

    #[test]
    fn a_tidy_file_has_no_complaints() {
        let text = "//! A room.\n\nfn f() {\n    // net.rs holds all unsafe code\n}\n";
        assert_eq!(complaints("relay/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_its_role_is_caught() {
        assert_eq!(complaints("relay/src/a.rs", "fn f() {}\n").len(), 1);
    }

    #[test]
    fn a_long_line_is_caught_and_columns_are_characters() {
        let wide = |columns: usize| format!("//! A.\n// {}\n", "é".repeat(columns - 3));
        assert_eq!(complaints("relay/src/a.rs", &wide(100)).len(), 0);
        assert_eq!(complaints("relay/src/a.rs", &wide(101)).len(), 1);
    }

    #[test]
    fn a_long_function_is_caught() {
        let text =
            |lines: usize| format!("//! A.\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert_eq!(complaints("relay/src/a.rs", &text(70)).len(), 0);
        let found = complaints("relay/src/a.rs", &text(71));
        assert_eq!(
            found,
            ["relay/src/a.rs:2: `f` has 71 lines, 70 are allowed"]
        );
    }

    #[test]
    fn a_long_file_is_caught_but_its_tests_are_free() {
        let body = "const A: u8 = 1;\n".repeat(449);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{body}}}\n");
        assert_eq!(
            complaints("relay/src/a.rs", &format!("//! A.\n{body}{tests}")).len(),
            0
        );
        assert_eq!(
            complaints("relay/src/a.rs", &format!("//! A.\n{body}\n")).len(),
            1
        );
        assert_eq!(
            complaints("relay/src/a/tests.rs", &format!("//! A.\n{body}\n")).len(),
            0
        );
    }

    #[test]
    fn leftovers_are_caught() {
        for left in LEFTOVER_CODE {
            let text = format!("//! A.\nfn f() {{ {left}() }}\n");
            assert_eq!(complaints("relay/src/a.rs", &text).len(), 1, "{left}");
        }
        for mark in LEFTOVER_MARKS {
            assert_eq!(
                complaints("relay/src/a.rs", &format!("//! A.\n// {mark}: x\n")).len(),
                1
            );
        }
    }

    #[test]
    fn more_or_less_unsafe_than_is_listed_is_caught() {
        let text = "//! A.\nfn f() {\n    // SAFETY: g has no rule.\n    unsafe { g() }\n}\n";
        let found = unsafe_inventory(&[Source::new("relay/src/net.rs", text)]);
        assert!(found[0].contains("1 lines of `unsafe`, 2 in"), "{found:?}");
    }

    #[test]
    fn unsafe_code_is_caught_outside_its_room_and_without_its_reason() {
        let bare = "//! A.\nfn f() {\n    unsafe { g() }\n}\n";
        let reasoned = "//! A.\nfn f() {\n    // SAFETY: g has no rule.\n    unsafe { g() }\n}\n";
        assert_eq!(complaints("relay/src/ring.rs", reasoned).len(), 1);
        assert_eq!(complaints("relay/src/net.rs", bare).len(), 1);
        assert_eq!(complaints("relay/src/net.rs", reasoned).len(), 0);
    }
}
