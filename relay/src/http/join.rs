//! Joins ES modules into one, so that a browser asks once and not once a module after the other.
//!
//! It reads the little of the language that the modules of `web/` are written in: imports by name
//! or by `* as`, exports in front of a declaration, both at the beginning of a line. What it cannot
//! join stays an import, which a browser resolves by itself.

/// A module as `(name, text)`.
pub(super) type Module = (&'static str, &'static str);

/// `root` and all that it imports from `modules`, as one module.
pub(super) fn join(root: &str, modules: &[Module]) -> String {
    let mut joined = Joined {
        modules,
        inside: Vec::new(),
        text: String::new(),
    };
    match modules.iter().find(|(name, _)| *name == root) {
        Some((_, text)) => {
            let body = joined.body(text);
            joined.text + &body
        }
        None => String::new(),
    }
}

struct Joined<'a> {
    modules: &'a [Module],
    /// Modules that are in the text, or whose imports are being put there.
    inside: Vec<&'static str>,
    text: String,
}

impl Joined<'_> {
    /// A module's text without its imports; those are in [`Self::text`] afterwards.
    fn body(&mut self, text: &str) -> String {
        let mut body = String::with_capacity(text.len());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut statement = line.to_owned();
            if line.starts_with("import ") {
                while !statement.ends_with(';') {
                    let Some(more) = lines.next() else { break };
                    statement.push(' ');
                    statement.push_str(more.trim());
                }
                statement = self.import(&statement).unwrap_or(statement);
            }
            body.push_str(&statement);
            body.push('\n');
        }
        body
    }

    /// What an import becomes: names of what the module's function has returned.
    fn import(&mut self, statement: &str) -> Option<String> {
        let (what, path) = statement.strip_prefix("import ")?.split_once('"')?;
        let path = path.strip_prefix("./")?.strip_suffix("\";")?;
        let (name, text) = *self.modules.iter().find(|(name, _)| *name == path)?;
        let variable = variable(name);
        let what = what.trim().trim_end_matches("from").trim();
        let names = match what.strip_prefix("* as ") {
            Some(all) => all.to_owned(),
            None => what.replace(" as ", ": "),
        };
        if !self.inside.contains(&name) {
            self.inside.push(name);
            let wrapped = self.wrapped(&variable, text);
            self.text.push_str(&wrapped);
        }
        Some(match names.is_empty() {
            true => String::new(),
            false => format!("const {names} = {variable};"),
        })
    }

    /// A module as a function that runs once and returns what the module exports.
    fn wrapped(&mut self, variable: &str, text: &str) -> String {
        let body = self.body(text);
        let mut exports = Vec::new();
        let mut wrapped = format!("const {variable} = (() => {{\n");
        for line in body.lines() {
            let line = line.strip_prefix("export ").map_or(line, |declaration| {
                exports.extend(declared(declaration));
                declaration
            });
            wrapped.push_str(line);
            wrapped.push('\n');
        }
        wrapped + &format!("return {{ {} }};\n}})();\n", exports.join(", "))
    }
}

/// The name that a declaration declares.
fn declared(declaration: &str) -> Option<&str> {
    let words = declaration.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    let keywords = ["const", "class", "function", "async", ""];
    words.into_iter().find(|word| !keywords.contains(word))
}

/// `audio.worklet.js` as a name of the language.
fn variable(name: &str) -> String {
    let stem = name.strip_suffix(".js").unwrap_or(name);
    format!("${}", stem.replace(['.', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &[Module] = &[
        (
            "root.js",
            "import { A, b as c } from \"./a-b.js\";\nimport * as d from \"./d.js\";\nc(A, d);\n",
        ),
        (
            "a-b.js",
            "import { e,\n  f } from \"./d.js\";\nexport const A = 1;\n\
             export async function b(x) {}\nclass H {}\n",
        ),
        ("d.js", "export class e {}\nexport function* f() {}\n"),
        ("elsewhere.js", "import { g } from \"https://x/y.js\";\n"),
    ];

    #[test]
    fn each_module_is_there_once_and_before_those_that_need_it() {
        let wanted = "const $d = (() => {\nclass e {}\nfunction* f() {}\nreturn { e, f };\n})();\n\
            const $a_b = (() => {\nconst { e, f } = $d;\nconst A = 1;\nasync function b(x) {}\n\
            class H {}\nreturn { A, b };\n})();\n\
            const { A, b: c } = $a_b;\nconst d = $d;\nc(A, d);\n";
        assert_eq!(join("root.js", MODULES), wanted);
    }

    #[test]
    fn what_is_not_there_stays_an_import() {
        assert_eq!(join("elsewhere.js", MODULES), MODULES[3].1);
        assert_eq!(join("none.js", MODULES), "");
    }
}
