//! The environment as a layer over the file: `WEIR_LIMITS__STREAMS` is `limits.streams`.
//!
//! Every key has a variable: `WEIR_`, then its path in capitals with two underscores for each dot.
//! What type a value is of says the file's schema, so that text needs no quotes. A list of text is
//! separated by commas; other lists and tables are written as in the file, on one line.

use std::collections::BTreeMap;

use serde_json::Value as Schema;
use toml::{Table, Value};

use super::{ConfigError, File};

/// What the environment says, by the keys of the file. It may hold secrets, so it is not shown.
#[derive(Clone, Default)]
pub struct Environment {
    table: Table,
    /// The variable of each key that has one.
    names: BTreeMap<String, String>,
}

impl Environment {
    /// That of this process.
    ///
    /// # Errors
    ///
    /// When a variable names no key, or its value is not of the key's type.
    pub fn read() -> Result<Self, ConfigError> {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| is_ours(name))?;
            Some((name, value))
        });
        let mut pairs = Vec::new();
        for (name, value) in ours {
            match value.into_string() {
                Ok(value) => pairs.push((name, value)),
                Err(_) => return Err(wrong(&name, "give text in UTF-8")),
            }
        }
        Self::of(pairs)
    }

    /// The same of variables with these names and values.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut environment = Self::default();
        let root = File::schema();
        for (name, text) in variables.into_iter().filter(|(name, _)| is_ours(name)) {
            let path = name.trim_start_matches(PREFIX).to_ascii_lowercase();
            let path: Vec<&str> = path.split(SEPARATOR).collect();
            let schema = find(&root, &path).map_err(|reason| wrong(&name, &reason))?;
            let value = value(schema, &text).map_err(|reason| wrong(&name, reason))?;
            insert(&mut environment.table, &path, value);
            environment.names.insert(path.join("."), name);
        }
        Ok(environment)
    }

    /// The keys that it sets.
    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The file with this text, and what the environment says over it.
    ///
    /// # Errors
    ///
    /// When the file has a mistake, or when both together do.
    pub(super) fn over(&self, text: &str, path: &str) -> Result<File, ConfigError> {
        let file = File::parse(text, path)?;
        if self.names.is_empty() {
            return Ok(file);
        }
        let mut table: Table = toml::from_str(text).unwrap_or_default();
        merge(&mut table, &self.table);
        table.try_into().map_err(|error: toml::de::Error| {
            let names: Vec<&str> = self.names.values().map(String::as_str).collect();
            wrong(&names.join(", "), &error.message().replace('\n', "; "))
        })
    }

    /// Says which variable it was, if the value that is refused came from one.
    pub(super) fn blame(&self, error: ConfigError) -> ConfigError {
        let ConfigError::Contradiction(reason) = error else {
            return error;
        };
        let names = self.names.iter().filter(|(key, _)| {
            let rest = reason.strip_prefix(key.as_str());
            rest.is_some_and(|rest| {
                !rest.starts_with(|next: char| next == '_' || next.is_alphanumeric())
            })
        });
        // The longest is the closest.
        match names.max_by_key(|(key, _)| key.len()) {
            Some((_, name)) => wrong(name, &reason),
            None => ConfigError::Contradiction(reason),
        }
    }
}

/// Whether a variable is one of these: those of flags have no separator.
fn is_ours(name: &str) -> bool {
    let path = name.strip_prefix(PREFIX);
    path.is_some_and(|path| path.contains(SEPARATOR))
}

/// The schema of the key at `path`, or what there is instead of it.
fn find<'a>(root: &'a Schema, path: &[&str]) -> Result<&'a Schema, String> {
    let mut schema = root;
    for (depth, part) in path.iter().enumerate() {
        let known = schema["properties"].as_object();
        let found = known.and_then(|known| known.get(*part));
        let Some(found) = found else {
            let known = known.map(|known| known.keys().map(String::as_str).collect::<Vec<_>>());
            let known = known.unwrap_or_default().join(", ");
            let key = path[..=depth].join(".");
            return Err(match known.is_empty() {
                true => format!("there is no key {key}: it is set as a whole, on one line"),
                false => format!("there is no key {key}: give one of {known}"),
            });
        };
        schema = resolve(found, root);
    }
    Ok(schema)
}

/// Follows references, and alternatives to nothing.
fn resolve<'a>(schema: &'a Schema, root: &'a Schema) -> &'a Schema {
    let alternatives = schema["anyOf"].as_array();
    let alternatives = alternatives.or_else(|| schema["allOf"].as_array());
    let some = alternatives.and_then(|all| all.iter().find(|one| one["type"] != "null"));
    if let Some(some) = some {
        return resolve(some, root);
    }
    let definition = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next());
    definition.map_or(schema, |name| resolve(&root["$defs"][name], root))
}

/// The value that `text` is for a key with that schema, or what it should be.
fn value(schema: &Schema, text: &str) -> Result<Value, &'static str> {
    let types = &schema["type"];
    let is = |kind: &str| {
        let one_of = |types: &Vec<Schema>| types.iter().any(|one| one == kind);
        types == kind || types.as_array().is_some_and(one_of)
    };
    // An enumeration whose values are described has no type of its own.
    if is("string") || types.is_null() {
        return Ok(Value::String(text.to_owned()));
    }
    let parsed = literal(text);
    if is("integer") {
        return parsed
            .filter(Value::is_integer)
            .ok_or("give a whole number");
    }
    if is("boolean") {
        return parsed.filter(Value::is_bool).ok_or("give true or false");
    }
    if is("array") {
        let listed = !text.trim_start().starts_with('[');
        return match listed {
            true => Ok(separated(text)),
            false => parsed.ok_or(AS_IN_THE_FILE),
        };
    }
    parsed.filter(Value::is_table).ok_or(AS_IN_THE_FILE)
}

/// A value as it is written in a file.
fn literal(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    // Text with a line break in it may have brought other keys.
    (table.len() == 1).then(|| table.remove("value")).flatten()
}

fn separated(text: &str) -> Value {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
}

fn insert(table: &mut Table, path: &[&str], value: Value) {
    let Some((last, sections)) = path.split_last() else {
        return;
    };
    let mut table = table;
    for section in sections {
        let section = table.entry(*section).or_insert_with(|| Table::new().into());
        if !section.is_table() {
            *section = Table::new().into();
        }
        let Some(inner) = section.as_table_mut() else {
            return;
        };
        table = inner;
    }
    merge_one(table, last, value);
}

/// Lays `over` over `table`, key by key.
fn merge(table: &mut Table, over: &Table) {
    for (key, value) in over {
        merge_one(table, key, value.clone());
    }
}

fn merge_one(table: &mut Table, key: &str, value: Value) {
    match (table.get_mut(key), value) {
        (Some(Value::Table(known)), Value::Table(over)) => merge(known, &over),
        (_, value) => drop(table.insert(key.to_owned(), value)),
    }
}

fn wrong(name: &str, reason: &str) -> ConfigError {
    ConfigError::Contradiction(format!("{name}: {reason}"))
}

const PREFIX: &str = "WEIR_";

/// What stands for the dot of a key: one underscore is a part of many names.
const SEPARATOR: &str = "__";

const AS_IN_THE_FILE: &str = "write the value as in the file, on one line";
