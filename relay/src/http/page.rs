//! The page at `/`: what runs here, where to push, and what is live.

use crate::stats::snapshot::ProcessSnapshot;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("index.html");

/// Fills the template in; the streams come through the API, in the browser.
pub(super) fn render(process: &ProcessSnapshot) -> String {
    let mut listeners = String::new();
    for (name, addr) in &process.listeners {
        let (name, addr) = (escape(name), escape(addr));
        // Writing to a string cannot fail.
        let _ = write!(listeners, "<li data-name=\"{name}\">{name} {addr}</li>");
    }
    TEMPLATE
        .replace("{{version}}", &escape(&process.version))
        .replace("{{listeners}}", &listeners)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_filled_in_becomes_markup() {
        let process = ProcessSnapshot {
            version: "<b>".into(),
            listeners: vec![("rtmp".into(), "\"><script>".into())],
            ..ProcessSnapshot::default()
        };
        let page = render(&process);
        assert!(page.contains("&lt;b&gt;"));
        assert!(page.contains("<li data-name=\"rtmp\">rtmp &quot;&gt;&lt;script&gt;</li>"));
        assert!(!page.contains("{{"), "every placeholder is filled");
    }
}
