//! Whether everybody can read a page: contrast of its words and icons with what is behind them.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::browser::Browser;
use super::process::wait_for;

/// How long a page may keep moving.
const STILL: Duration = Duration::from_secs(60);

/// Colour schemes that a browser may prefer.
pub(crate) const SCHEMES: [&str; 2] = ["light", "dark"];

/// Makes the browser prefer a colour scheme.
#[track_caller]
pub(crate) fn prefer(browser: &Browser, scheme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.devtools(
        "Emulation.setEmulatedMedia",
        &json!({ "features": features }),
    );
}

/// Makes the page as large as a screen of this size, or as large as it wants without one.
#[track_caller]
pub(crate) fn resize(browser: &Browser, size: Option<(u32, u32)>) {
    match size {
        Some((width, height)) => {
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
                "mobile": false });
            browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        }
        None => {
            browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
        }
    }
}

/// Looks at the part of the page that is seen: what there is of words and icons, and whichever of
/// them stand out less than WCAG's level AA asks for. A page that moved while its picture was taken
/// is looked at again.
#[track_caller]
pub(crate) fn contrast(browser: &Browser) -> (Vec<String>, Vec<String>) {
    let strings = |found: &Value| -> Vec<String> {
        let found = found.as_array().unwrap_or_else(|| panic!("{found}"));
        found.iter().map(ToString::to_string).collect()
    };
    let script = include_str!("../browser/contrast.js");
    wait_for("a page that stands still", STILL, || {
        let seen = browser.run_async(&format!("{script}; return window.contrast.look()"));
        let png = BASE64_STANDARD.encode(browser.screenshot());
        let judge = format!("return await window.contrast.judge('{png}')");
        let faint = browser.run_async(&judge);
        match faint.as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok((strings(&seen), strings(&faint))),
        }
    })
}
