//! Somebody who watches: a player in a browser's page, what it shows and what it says of itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::Browser;
use super::process::wait_for;
use super::relay::Weir;

/// Longer than anything here takes, encoding on a busy machine included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A picture that was on the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    /// Its place in the stream.
    pub(crate) number: u64,
    /// Milliseconds from being drawn to being seen.
    pub(crate) late_ms: f64,
    /// Whether it flashes.
    pub(crate) flash: bool,
    /// When it was seen, in the page's milliseconds.
    pub(crate) at_ms: f64,
}

/// One player of the page that a browser shows.
pub(crate) struct Viewer<'a> {
    browser: &'a Browser,
    number: usize,
}

impl<'a> Viewer<'a> {
    /// Opens the relay's own page of a stream: `live/cam`, or `live/cam?latency=500`.
    #[track_caller]
    pub(crate) fn open(browser: &'a Browser, relay: &Weir, name: &str) -> Self {
        let mut viewers = Self::open_page(browser, &format!("http://{}/watch/{name}", relay.http));
        viewers.remove(0)
    }

    /// Opens a page and looks at each player in it.
    #[track_caller]
    pub(crate) fn open_page(browser: &'a Browser, url: &str) -> Vec<Self> {
        browser.open(url);
        // A page is loaded before its players are what their module makes of them.
        let count = browser.run_async(&format!(
            "{};
             await customElements.whenDefined('weir-player');
             const players = [...document.querySelectorAll('weir-player')];
             window.viewers = players.map((player) => ({{ player, seen: window.watch(player) }}));
             return players.length;",
            include_str!("../browser/drawn.js")
        ));
        let count = usize::try_from(count.as_u64().unwrap()).unwrap();
        let viewer = |number| Self { browser, number };
        (0..count).map(viewer).collect()
    }

    /// Opens a page whose one player is the element `tag`, and looks at it from its first moment
    /// on: when its first picture was there is told, too.
    #[track_caller]
    pub(crate) fn open_watched(browser: &'a Browser, url: &str, tag: &str) -> Self {
        let script = format!(
            "window.viewers ?? (() => {{
             {};
             const look = () => {{
                 const player = document.querySelector('{tag}');
                 if (player) window.viewers = [{{ player, seen: window.watch(player) }}];
                 else requestAnimationFrame(look);
             }};
             look(); }})()",
            include_str!("../browser/drawn.js")
        );
        let added = browser.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            &json!({ "source": script }),
        );
        browser.open(url);
        browser.devtools("Page.removeScriptToEvaluateOnNewDocument", &added);
        browser.wait_true(
            "the player in the page",
            "return window.viewers !== undefined",
        );
        Self { browser, number: 0 }
    }

    /// Runs a function's body with `player` and `seen`, what was seen of it.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        let number = self.number;
        let names = format!("const {{ player, seen }} = window.viewers[{number}];");
        self.browser.run_async(&format!("{names} {script}"))
    }

    /// Everything that a failed test should tell.
    #[track_caller]
    pub(crate) fn told(&self) -> Value {
        self.run(
            "const words = ['title', 'text'].map((id) => player.shadowRoot?.getElementById(id));
             return { state: player.state, states: seen.states, statistics: player.statistics,
               words: words.map((word) => word?.textContent).join(': '), blurred: seen.blurred,
               pictures: seen.pictures.length, last: seen.pictures.at(-1), beeps: seen.beeps };",
        )
    }

    /// The player's statistics.
    #[track_caller]
    pub(crate) fn statistics(&self) -> Value {
        self.run("return player.statistics")
    }

    /// Waits until `wanted` holds for [`Self::told`].
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, PATIENCE, || {
            let told = self.told();
            match wanted(&told) {
                true => Ok(told),
                false => Err(told.to_string()),
            }
        })
    }

    /// Waits for a state.
    #[track_caller]
    pub(crate) fn wait_state(&self, state: &str) -> Value {
        self.wait(&format!("a player that is {state}"), |told| {
            told["state"] == state
        })
    }

    /// Waits for `count` pictures from now on. Each must be a picture that was drawn, and go on
    /// from the one before.
    #[track_caller]
    pub(crate) fn wait_pictures(&self, count: usize) -> Vec<Picture> {
        self.run("seen.pictures = []; seen.blurred = 0;");
        // The screen may still have had a picture from before.
        let told = self.wait("pictures that go on", |told| {
            told["pictures"].as_u64() > Some(count as u64)
        });
        assert_eq!(told["blurred"], 0, "{told}");
        let pictures: Vec<Picture> = self.pictures().into_iter().skip(1).collect();
        assert!(
            pictures.is_sorted_by(|a, b| a.number < b.number),
            "not one after the other: {pictures:?}"
        );
        pictures
    }

    /// The pictures since the last wait.
    #[track_caller]
    pub(crate) fn pictures(&self) -> Vec<Picture> {
        let pictures = self.run("return seen.pictures");
        let pictures = pictures.as_array().unwrap().iter();
        pictures
            .map(|picture| Picture {
                number: picture[0].as_u64().unwrap(),
                late_ms: picture[1].as_f64().unwrap(),
                flash: picture[2].as_bool().unwrap(),
                at_ms: picture[3].as_f64().unwrap(),
            })
            .collect()
    }

    /// Turns the sound on by its key, as a person does, and listens to it from now on.
    #[track_caller]
    pub(crate) fn unmute(&self) {
        self.run("player.focus()");
        self.browser.press("m");
        self.run("await seen.hear()");
    }

    /// The times at which beeps were heard, in the page's milliseconds.
    #[track_caller]
    pub(crate) fn beeps(&self) -> Vec<f64> {
        let beeps = self.run("return seen.beeps");
        let beeps = beeps.as_array().unwrap().iter();
        beeps.map(|beep| beep.as_f64().unwrap()).collect()
    }

    /// Waits for beeps, and for how much later than its beep each flash is seen, in milliseconds.
    #[track_caller]
    pub(crate) fn wait_flashes(&self, count: usize) -> Vec<f64> {
        self.run("seen.pictures = []; seen.beeps = [];");
        wait_for("flashes and beeps", PATIENCE, || {
            let (pictures, beeps) = (self.pictures(), self.beeps());
            let pairs = pictures.windows(2);
            let flashes = pairs.filter(|pair| !pair[0].flash && pair[1].flash);
            let differences = flashes.filter_map(|pair| {
                let seen = pair[1].at_ms;
                let near = beeps.iter().map(|beep| seen - beep);
                near.min_by(|a, b| a.abs().total_cmp(&b.abs()))
            });
            // A flash at the edge of what was watched has no beep.
            let differences: Vec<f64> = differences.filter(|ms| ms.abs() < 500.0).collect();
            match differences.len() >= count {
                true => Ok(differences),
                false => Err(format!("{differences:?}; {}", self.told())),
            }
        })
    }
}
