//! The player's page can be read by everybody: words and icons stand out in each state, over black
//! and white pictures, in light and dark.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use support::{Browser, Drawing, SCHEMES, Viewer, Weir, contrast, prefer, resize};

/// A desktop's window and a phone's.
const SIZES: [(u32, u32); 2] = [(1280, 800), (390, 844)];

/// Pictures that are white, or black, all over.
const PICTURES: [&str; 2] = ["brightness(0) invert(1)", "brightness(0)"];

/// What every state shows, one after the other as the player itself would: its words over the
/// picture with the button below them, the sound alone, and everything that lies over a picture.
/// Each says what must be among what is seen.
const LOOKS: [(&str, &str, &str); 4] = [
    (
        "words",
        "part('notice').hidden = true;
         part('veil').hidden = part('retry').hidden = false;
         part('title').textContent = 'The relay does not answer';
         part('text').textContent = 'Trying again every 4 seconds.'",
        "Trying again",
    ),
    (
        "sound alone",
        "part('veil').hidden = true; part('silent').hidden = false",
        "Sound only",
    ),
    (
        "an invitation",
        "part('silent').hidden = part('stats').hidden = true; part('unmute').hidden = false",
        "Turn the sound on",
    ),
    (
        "over the picture",
        "part('stats').hidden = part('notice').hidden = false;
         part('notice').textContent = 'Picture in picture is not possible here'",
        "not possible here",
    ),
];

#[test]
fn everything_over_the_picture_can_be_read() {
    let (relay, _push) = Drawing::PLAIN.live();
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("live");
    viewer.run("player.shadowRoot.getElementById('info').click()");
    viewer.wait("statistics", |told| {
        told["statistics"]["totalMs"].as_f64().is_some()
    });
    // Controls stay where somebody moves the pointer, however long a picture of the page takes.
    viewer.run(
        "const stir = () => player.dispatchEvent(new PointerEvent('pointermove'));
         stir(); setInterval(stir, 200)",
    );
    let mut faint = Vec::new();
    for size in SIZES {
        resize(&browser, Some(size));
        for (scheme, picture) in SCHEMES.into_iter().zip(PICTURES) {
            prefer(&browser, scheme);
            for (name, script, wanted) in LOOKS {
                viewer.run(&format!(
                    "const part = (id) => player.shadowRoot.getElementById(id);
                     part('picture').style.filter = '{picture}'; {script}"
                ));
                let (seen, found) = contrast(&browser);
                for what in [wanted, "Live", "icon of play", "All streams"] {
                    let there = seen.iter().any(|one| one.contains(what));
                    assert!(there, "{what} is not seen, {name}: {seen:?}");
                }
                faint.extend(
                    found
                        .iter()
                        .map(|one| format!("{name}, {scheme}, {size:?}: {one}")),
                );
            }
        }
    }
    assert!(faint.is_empty(), "{faint:#?}");
}

#[test]
fn whoever_waits_can_read_why() {
    let relay = Weir::start();
    let browser = Browser::start();
    let viewer = Viewer::open(&browser, &relay, "live/cam");
    viewer.wait_state("waiting");
    for size in SIZES {
        resize(&browser, Some(size));
        for scheme in SCHEMES {
            prefer(&browser, scheme);
            let (seen, faint) = contrast(&browser);
            let words = seen
                .iter()
                .any(|one| one.contains("Waiting for the streamer"));
            assert!(words, "{seen:?}");
            assert!(faint.is_empty(), "{scheme}, {size:?}: {faint:#?}");
        }
    }
}
