//! A Rust source file as the rules see it: its text, and the same text with comments and literals
//! blanked out, so that a word in a string is never taken for code.

/// One file of the tree.
pub(crate) struct Source {
    /// Path from the top of the repository, with `/`.
    pub(crate) path: String,
    /// What stands in the file.
    pub(crate) text: String,
    /// The text with every comment, string and character literal replaced by blanks, line for line.
    pub(crate) code: String,
}

/// A function with a body.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line of the `fn`, counted from 1.
    pub(crate) line: usize,
    /// Lines from the `fn` to the closing brace, both included.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(text),
        }
    }

    /// The crate's folder: `relay` of `relay/src/ring.rs`.
    pub(crate) fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The top-level module the file belongs to: `http` for `relay/src/http.rs` and for
    /// `relay/src/http/api.rs`; `None` outside a `src` folder.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.split_once("/src/")?.1;
        Some(
            inside
                .split('/')
                .next()
                .unwrap_or_default()
                .trim_end_matches(".rs"),
        )
    }

    /// Lines in front of the test module that closes the file; all of them without one.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            let for_tests = words(pair[0]).any(|(_, word)| word == "test");
            let module = pair[1].starts_with("mod ") && pair[1].ends_with('{');
            pair[0].starts_with("#[cfg(") && for_tests && module
        });
        tests.unwrap_or(lines.len())
    }

    /// Lines, counted from 1, on which `word` stands in the code as a whole word.
    pub(crate) fn lines_with_word(&self, word: &str) -> Vec<usize> {
        words(&self.code)
            .filter(|(_, found)| *found == word)
            .map(|(at, _)| self.line_at(at))
            .collect()
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        words(&self.code)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| {
                let after = self.code[at + 2..].trim_start();
                let name: String = after.chars().take_while(|c| is_word(*c)).collect();
                let end = body_end(&self.code, at).filter(|_| !name.is_empty())?;
                let line = self.line_at(at);
                Some(Function {
                    name,
                    line,
                    lines: self.line_at(end) - line + 1,
                })
            })
            .collect()
    }

    /// Every path of two or more segments and everything imported, braces multiplied out, each
    /// with its line: `use a::{b, c::d};` gives `a::b` and `a::c::d`.
    pub(crate) fn paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut done = 0;
        for (at, word) in words(&self.code) {
            if at < done {
                continue;
            }
            let rest = &self.code[at..];
            if word == "use" && !rest[3..].trim_start().starts_with('<') {
                let (line, end) = (self.line_at(at), rest.find(';').unwrap_or(rest.len()));
                multiply_out("", rest[3..end].trim(), &mut |path| {
                    found.push((line, path))
                });
                done = at + end;
            } else {
                let length = path_length(rest);
                if length > word.len() {
                    found.push((self.line_at(at), rest[..length].to_owned()));
                }
                done = at + length;
            }
        }
        found
    }

    /// How many modules written in place, such as `mod tests { .. }`, surround the line.
    pub(crate) fn inline_modules_around(&self, line: usize) -> usize {
        words(&self.code)
            .filter(|(at, word)| *word == "mod" && opens_in_place(&self.code[at + 3..]))
            .filter_map(|(at, _)| Some(self.line_at(at)..=self.line_at(body_end(&self.code, at)?)))
            .filter(|lines| lines.contains(&line))
            .count()
    }

    fn line_at(&self, at: usize) -> usize {
        self.code[..at]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Identifiers and numbers with their byte offsets.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].find(is_word)?;
        let rest = &code[at..];
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let start = at;
        at += word.len();
        Some((start, word))
    })
}

/// Bytes of the path that `rest` begins with.
fn path_length(rest: &str) -> usize {
    let mut length = 0;
    loop {
        let tail = &rest[length..];
        length += tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        let more = rest[length..]
            .strip_prefix("::")
            .is_some_and(|next| next.starts_with(is_word));
        if !more {
            return length;
        }
        length += 2;
    }
}

fn multiply_out(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    let Some((head, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        let path = path.strip_suffix("::self").unwrap_or(path);
        let joined = format!("{prefix}{path}");
        found(
            joined
                .strip_suffix("::self")
                .unwrap_or(&joined)
                .trim_start_matches("::")
                .to_owned(),
        );
        return;
    };
    let inside = inside.trim_end();
    let inside = inside.strip_suffix('}').unwrap_or(inside);
    let prefix = format!("{prefix}{}", head.trim());
    let mut depth = 0_usize;
    let branches = inside.split(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    for branch in branches.map(str::trim).filter(|branch| !branch.is_empty()) {
        multiply_out(&prefix, branch, found);
    }
}

/// Whether a `mod` goes on with a name and a brace.
fn opens_in_place(rest: &str) -> bool {
    rest.trim_start()
        .trim_start_matches(is_word)
        .trim_start()
        .starts_with('{')
}

/// Offset of the brace that closes the body of the item at `start`; `None` without a body.
fn body_end(code: &str, start: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0_i32, 0_i32);
    for (offset, byte) in code[start..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if brackets == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return Some(start + offset),
            b'}' => braces -= 1,
            _ => {}
        }
    }
    None
}

/// Replaces comments, strings and character literals by blanks and keeps the lines.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = if is_word(before) {
            0
        } else {
            prefixed_literal(rest)
        };
        let length = if length > 0 {
            length
        } else {
            comment_or_literal(rest)
        };
        if length > 0 {
            code.extend(
                rest[..length]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
        } else {
            code.push(first);
        }
        before = first;
        rest = &rest[length.max(first.len_utf8())..];
    }
    code
}

/// Bytes of the `b"..."`, `r#"..."#`, `br"..."` or `c"..."` that `rest` begins with, else 0.
fn prefixed_literal(rest: &str) -> usize {
    let prefix = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    if prefix == 0 || prefix > 2 {
        return 0;
    }
    let body = &rest[prefix..];
    if !rest[..prefix].ends_with('r') {
        return if body.starts_with(['"', '\'']) {
            prefix + comment_or_literal(body)
        } else {
            0
        };
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    if !body[hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = prefix + hashes + 1;
    rest[inside..]
        .find(&close)
        .map_or(rest.len(), |end| inside + end + close.len())
}

/// Bytes of the comment, string or character literal that `rest` begins with, else 0.
fn comment_or_literal(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => quoted(rest, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        let source = Source::new(
            "relay/src/a.rs",
            "let a = \"fn x() {\"; // fn y() {\nlet b = r#\"unsafe \"x\"#; \
             /* { /* } */ */ let c = '{';\n\
             fn life<'a>(x: &'a str) -> char { b'\\'' as char }\n",
        );
        assert_eq!(source.code.lines().count(), 3);
        assert!(source.lines_with_word("unsafe").is_empty());
        let functions = source.functions();
        assert_eq!(functions.len(), 1);
        assert_eq!(
            (
                functions[0].name.as_str(),
                functions[0].line,
                functions[0].lines
            ),
            ("life", 3, 1)
        );
    }

    #[test]
    fn a_function_is_as_long_as_its_braces() {
        let source = Source::new(
            "a.rs",
            "trait T { fn none(&self); }\nfn f(a: [u8; 2])\n{\n  if a {\n  }\n}\n",
        );
        let functions = source.functions();
        assert_eq!(functions.len(), 1);
        assert_eq!((functions[0].line, functions[0].lines), (2, 5));
    }

    #[test]
    fn imports_are_multiplied_out() {
        let text = "use std::{io, net::{self, SocketAddr as S}};\npub(crate) use quinn;\n\
                    fn f() -> impl Copy + use<> { tokio::spawn(crate::ring::Ring::new(a.b)) }";
        let paths: Vec<String> = Source::new("a.rs", text)
            .paths()
            .into_iter()
            .map(|p| p.1)
            .collect();
        let wanted = [
            "std::io",
            "std::net",
            "std::net::SocketAddr",
            "quinn",
            "tokio::spawn",
            "crate::ring::Ring::new",
        ];
        assert_eq!(paths, wanted);
    }

    #[test]
    fn the_room_of_a_file_is_its_top_level_module() {
        assert_eq!(
            Source::new("relay/src/http/api.rs", "").room(),
            Some("http")
        );
        assert_eq!(Source::new("relay/src/ring.rs", "").room(), Some("ring"));
        assert_eq!(Source::new("relay/tests/tidy.rs", "").room(), None);
    }

    #[test]
    fn modules_in_place_are_counted_around_a_line() {
        let source = Source::new("a.rs", "mod b;\nmod c {\n mod d {\n  x\n }\n}\ny\n");
        let around: Vec<usize> = (1..=7)
            .map(|line| source.inline_modules_around(line))
            .collect();
        assert_eq!(around, [0, 1, 2, 2, 2, 1, 0]);
    }

    #[test]
    fn the_closing_test_module_does_not_count_as_length() {
        let source = Source::new(
            "a.rs",
            "//! A.\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n",
        );
        assert_eq!(source.lines_without_tests(), 3);
        let linux = "//! A.\n#[cfg(all(test, unix))]\nmod tests {\n}\n";
        assert_eq!(Source::new("a.rs", linux).lines_without_tests(), 1);
    }
}
