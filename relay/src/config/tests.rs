//! The layers put together, what is refused, and the example file.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::new(&Options::default(), &File::parse(text, "weir.toml")?)
}

#[test]
fn flag_wins_over_file_and_file_over_default() {
    let file = File::parse("shards = 3\n[listen]\nrtmp = \"127.0.0.1:1\"\n", "f").unwrap();
    let options = Options {
        shards: NonZeroU8::new(2),
        ..Options::default()
    };
    let config = Config::new(&options, &file).unwrap();
    assert_eq!(config.shards, 2);
    assert_eq!(config.rtmp, Listener::At(([127, 0, 0, 1], 1).into()));
    assert_eq!(config.quic, Listener::Anywhere(4443));
}

#[test]
fn mistakes_are_named_with_their_line() {
    let unknown = config("shards = 1\n[listen]\nrmtp = \"127.0.0.1:1\"\n").unwrap_err();
    let text = unknown.to_string();
    assert!(text.starts_with("weir.toml:3: "), "{text}");
    assert!(text.contains("rmtp") && text.contains("rtmp"), "{text}");
    let kind = config("[stream]\nlinger_ms = \"long\"\n").unwrap_err();
    assert!(kind.to_string().starts_with("weir.toml:2: "), "{kind}");
    let range = config("[viewer]\nbehind_limit_ms = 1\n").unwrap_err();
    assert!(range.to_string().contains("50 to 600000"), "{range}");
    let half = config("[tls]\ncert = \"c.pem\"\n").unwrap_err();
    assert!(half.to_string().contains("tls.key"), "{half}");
}

/// The keys of a table and of what is in it, as `auth.key.stream`.
fn keys_of(value: &toml::Value, prefix: &str, all: &mut BTreeSet<String>) {
    for (key, value) in value.as_table().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        keys_of(value, &format!("{key}."), all);
        all.insert(key);
    }
    let list = value.as_array().into_iter().flatten();
    list.for_each(|one| keys_of(one, prefix, all));
}

/// The same of a schema.
fn keys_in(schema: &Json, root: &Json, prefix: &str, all: &mut BTreeSet<String>) {
    let parts = ["anyOf", "allOf"].map(|key| schema[key].as_array());
    let parts = parts.into_iter().flatten().flatten();
    for part in parts.chain(schema.get("items")) {
        keys_in(part, root, prefix, all);
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        keys_in(&root["$defs"][name], root, prefix, all);
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        keys_in(value, root, &format!("{key}."), all);
        all.insert(key);
    }
}

#[test]
fn example_file_has_the_keys_of_the_schema_and_no_others() {
    let example = include_str!("../../weir.example.toml");
    let uncommented = example.replace("#= ", "");
    let (mut told, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys_of(&toml::from_str(&uncommented).unwrap(), "", &mut told);
    let schema = File::schema();
    keys_in(&schema, &schema, "", &mut known);
    // The other form of a key's secret.
    known.remove("auth.key.plain");
    assert_eq!(told, known);
}

/// The value of each key as a variable has it.
fn variables_of(table: &toml::Table, prefix: &str, all: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.to_uppercase());
        let text = match value {
            toml::Value::Table(table) => {
                variables_of(table, &format!("{name}__"), all);
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => {
                let texts = list.iter().filter_map(toml::Value::as_str);
                texts.collect::<Vec<_>>().join(",")
            }
            toml::Value::Array(_) => KEYS.to_owned(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(is) => is.to_string(),
            toml::Value::Float(_) | toml::Value::Datetime(_) => panic!("{name} is {value:?}"),
        };
        all.push((name, text));
    }
}

/// A list of tables on one line, with a time in it.
const KEYS: &str = "[{ stream = \"live/cam\", name = \"studio\", plain = \"long enough\", \
                    expires = 2027-01-31T12:00:00Z }]";

#[test]
fn every_key_has_a_variable() {
    let example = include_str!("../../weir.example.toml").replace("#= ", "");
    let mut told: toml::Table = toml::from_str(&example).unwrap();
    told.remove("shards");
    let mut variables = Vec::new();
    variables_of(&told, "WEIR_", &mut variables);
    assert!(variables.len() > 40, "{}", variables.len());
    let keys: toml::Table = toml::from_str(&format!("key = {KEYS}")).unwrap();
    told["auth"]["key"] = keys["key"].clone();
    let environment = Environment::of(variables).unwrap();
    assert_eq!(environment.table(), &told);
    environment.over("", "").unwrap();
}

fn under(variables: &[(&str, &str)], text: &str) -> Result<Config, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let read = Environment::of(variables.iter().map(owned)).and_then(|environment| {
        let file = environment.over(text, "weir.toml")?;
        Config::new(&Options::default(), &file).map_err(|error| environment.blame(error))
    });
    read.map_err(|error| error.to_string())
}

#[test]
fn a_variable_wins_over_the_file() {
    let file = "shards = 3\n[limits]\nstreams = 5\nsessions = 6\n[auth]\nallow = [\"::1\"]\n";
    let variables = [
        ("WEIR_LIMITS__STREAMS", "7"),
        ("WEIR_AUTH__ALLOW", "127.0.0.1, 10.0.0.0/8"),
        ("WEIR_LOG", "debug"),
        ("WEIR_RTMP", "not of this layer"),
    ];
    let config = under(&variables, file).unwrap();
    assert_eq!((config.shards, config.registry.max_streams), (3, 7));
    assert_eq!(config.limits.sessions, 6);
    assert_eq!(config.auth.addresses.allow.len(), 2);
}

#[test]
fn mistakes_in_variables_are_named_by_them() {
    for (name, value, words) in [
        ("WEIR_LIMITS__STREMS", "7", "one of busy_percent"),
        ("WEIR_LIMIT__STREAMS", "7", "no key limit"),
        ("WEIR_STREAM__LINGER_MS__X", "7", "set as a whole"),
        ("WEIR_LIMITS__STREAMS", "many", "a whole number"),
        ("WEIR_LIMITS__STREAMS", "7\nsessions = 1", "a whole number"),
        (
            "WEIR_LIMITS__STREAMS",
            "0",
            "limits.streams is 0: give a number",
        ),
        ("WEIR_PLAYER__REPORTS", "yes", "true or false"),
        ("WEIR_AUTH__WATCH", "anybody", "anybody"),
        ("WEIR_AUTH__ALLOW", "ten", "10.0.0.0/8"),
        ("WEIR_AUTH__KEY", "[{", "on one line"),
        ("WEIR_TLS__CERT", "c.pem", "tls.key"),
    ] {
        let text = under(&[(name, value)], "").unwrap_err();
        assert!(text.starts_with(name) && text.contains(words), "{text}");
    }
    let file = under(&[("WEIR_LIMITS__STREAMS", "7")], "shard = 1\n").unwrap_err();
    assert!(file.starts_with("weir.toml:1: "), "{file}");
}

#[test]
fn example_file_has_every_key_with_its_default() {
    let example = include_str!("../../weir.example.toml");
    let uncommented: String = example
        .lines()
        .map(|line| line.strip_prefix("#= ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    File::parse(&uncommented, "weir.example.toml").unwrap();
    // Of those without a fixed default some name files, which are not here.
    let file = File::parse(example, "weir.example.toml").unwrap();
    let told = Config::new(&Options::default(), &file).unwrap();
    let silent = config("").unwrap();
    let shown = |config: &Config| {
        let parts = (&config.registry, &config.session, &config.ingest);
        let others = (&config.endpoint, &config.play, &config.upstream);
        format!("{parts:?} {others:?} {:?}", config.auth)
    };
    assert_eq!(shown(&told), shown(&silent));
    assert_eq!(told.limits, silent.limits);
}
