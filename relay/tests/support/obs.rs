//! A real OBS Studio without a display, streaming a coloured scene.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Process, Scratch, sleep, wait_for};

/// Time for OBS to come up in software rendering.
const START: Duration = Duration::from_secs(60);

/// Time OBS gets to say goodbye to the server.
const STOP: Duration = Duration::from_secs(5);

/// The picture that OBS sends.
pub(crate) const WIDTH: u32 = 640;
/// The picture that OBS sends.
pub(crate) const HEIGHT: u32 = 360;

/// A running OBS with a home of its own.
pub(crate) struct Obs {
    process: Process,
    home: Scratch,
}

impl Obs {
    /// Starts OBS and makes it stream to `server` (`rtmp://host/app`) with the stream key `key`.
    #[track_caller]
    pub(crate) fn stream(server: &str, key: &str) -> Self {
        Self::stream_clip(server, key, None)
    }

    /// The same with a file that plays over and over in front of the scene's colour, if there is
    /// one.
    #[track_caller]
    pub(crate) fn stream_clip(server: &str, key: &str, clip: Option<&Path>) -> Self {
        let home = Scratch::new("obs");
        write_settings(home.path(), server, key, clip);
        let mut command = Command::new("xvfb-run");
        command
            .args([
                "-a",
                "-s",
                "-screen 0 1280x720x24",
                "dbus-run-session",
                "obs",
            ])
            .args([
                "--startstreaming",
                "--multi",
                "--disable-updater",
                "--minimize-to-tray",
            ])
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path().join("run"))
            .env("LIBGL_ALWAYS_SOFTWARE", "1");
        let process = Process::spawn("obs", &mut command);
        let mut obs = Self { process, home };
        wait_for("OBS to stream", START, || obs.said("Streaming Start"));
        obs
    }

    /// Ends OBS as its user would; the streaming ends first.
    pub(crate) fn stop(&mut self) {
        self.process.signal("TERM");
        sleep(STOP);
    }

    fn said(&mut self, text: &str) -> Result<(), String> {
        let log = self.process.stdout() + &self.process.stderr();
        assert!(self.process.is_running(), "OBS ended: {log}");
        if log.contains(text) { Ok(()) } else { Err(log) }
    }
}

/// What the first-run wizard would write: a profile, a scene, a custom server.
fn write_settings(home: &Path, server: &str, key: &str, clip: Option<&Path>) {
    let settings = home.join(".config/obs-studio");
    let profile = settings.join("basic/profiles/T");
    let scenes = settings.join("basic/scenes");
    for folder in [&profile, &scenes, &home.join("run")] {
        fs::create_dir_all(folder).unwrap();
    }
    let global = "[General]\nFirstRun=true\nInfoIncrement=2\nEnableAutoUpdates=false\n\
        LastVersion=486539266\n[Basic]\nProfile=T\nProfileDir=T\nSceneCollection=S\n\
        SceneCollectionFile=S\n";
    let basic = format!(
        "[General]\nName=T\n[Video]\nBaseCX={WIDTH}\nBaseCY={HEIGHT}\nOutputCX={WIDTH}\n\
        OutputCY={HEIGHT}\nFPSCommon=30\n[Output]\nMode=Simple\n[SimpleOutput]\nVBitrate=1200\n\
        ABitrate=128\nUseAdvanced=true\nPreset=ultrafast\nStreamEncoder=x264\n"
    );
    let service = serde_json::json!({
        "type": "rtmp_custom",
        "settings": { "server": server, "key": key, "use_auth": false },
    });
    let color = serde_json::json!({
        "id": "color_source", "versioned_id": "color_source_v3", "name": "C",
        "settings": { "color": 4_278_255_360_u32, "width": WIDTH, "height": HEIGHT },
    });
    let item = |name: &str, id: u32| {
        serde_json::json!({
            "name": name, "id": id, "visible": true, "align": 5, "rot": 0.0,
            "pos": { "x": 0.0, "y": 0.0 }, "scale": { "x": 1.0, "y": 1.0 },
        })
    };
    let mut items = vec![item("C", 1)];
    let mut sources = vec![color];
    if let Some(clip) = clip {
        items.push(item("M", 2));
        sources.push(serde_json::json!({
            "id": "ffmpeg_source", "versioned_id": "ffmpeg_source", "name": "M",
            "settings": { "local_file": clip, "is_local_file": true, "looping": true },
        }));
    }
    sources.push(serde_json::json!({
        "id": "scene", "name": "Scene", "settings": { "id_counter": 2, "items": items },
    }));
    let scene = serde_json::json!({
        "name": "S", "current_scene": "Scene", "current_program_scene": "Scene",
        "scene_order": [{ "name": "Scene" }],
        "sources": sources,
    });
    fs::write(settings.join("global.ini"), global).unwrap();
    fs::write(profile.join("basic.ini"), basic).unwrap();
    fs::write(profile.join("service.json"), service.to_string()).unwrap();
    fs::write(scenes.join("S.json"), scene.to_string()).unwrap();
}
