//! A browser that is told what to do through its debugging pipe, and asked what it shows.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const NAMES: [&str; 4] = ["chromium", "chromium-headless-shell", "google-chrome", "chrome"];

/// Names of what a page may complain about.
const COMPLAINTS: [&str; 2] = ["Runtime.exceptionThrown", "Log.entryAdded"];

pub struct Chromium {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    errors: Vec<String>,
    _profile: Profile,
}

/// A folder that is gone with its browser.
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // What is left behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("SAMOVAR_CHROMIUM") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let all = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

impl Chromium {
    /// Starts a browser, or says that there is none.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            #[expect(clippy::print_stderr, reason = "who runs the tests has to know")]
            {
                eprintln!("skipped: no Chromium; name one in SAMOVAR_CHROMIUM");
            }
            return None;
        };
        let name = format!("samovar-page-{}-{:?}", std::process::id(), std::thread::current().id());
        let profile = env::temp_dir().join(name.replace(['(', ')'], ""));
        std::fs::create_dir_all(&profile).unwrap();
        // The pipe is at the descriptors 3 and 4; the shell moves ours there.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let answers = BufReader::new(answers);
        let profile = Profile(profile);
        let (session, last_id, errors) = (None, 0, Vec::new());
        Some(Chromium { child, orders, answers, session, last_id, errors, _profile: profile })
    }

    /// Opens a page in a new tab.
    pub fn open(&mut self, url: &str) {
        let target = self.order("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.order("Target.attachToTarget", attach);
        self.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        self.order("Runtime.enable", json!({}));
        self.order("Log.enable", json!({}));
        self.order("Page.enable", json!({}));
        self.order("Page.navigate", json!({ "url": url }));
    }

    /// The value of an expression, or of a promise.
    pub fn evaluate(&mut self, script: &str) -> Value {
        // In a block, so that the names of one script are not those of the next.
        let parameters = json!({
            "expression": format!("{{ {script} }}"),
            "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let answer = self.order("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. The browser looks each time it draws the page.
    pub fn wait(&mut self, condition: &str) {
        let looped = format!(
            "new Promise((done, failed) => {{ let turns = 0; const look = () => {{ \
             let is_met = false; try {{ is_met = Boolean({condition}) }} catch {{}} \
             if (is_met) done(true); else if (++turns > 3000) failed(document.body.innerText); \
             else setTimeout(look, 10); }}; look() }})"
        );
        assert_eq!(self.evaluate(&looped), json!(true), "{condition}");
    }

    pub fn press_control_enter(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "modifiers": 2, "key": "Enter", "code": "Enter",
                "windowsVirtualKeyCode": 13,
            });
            self.order("Input.dispatchKeyEvent", key);
        }
    }

    pub fn prefer_colors(&mut self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.order("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    pub fn set_width(&mut self, width: u32) {
        let screen =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true });
        self.order("Emulation.setDeviceMetricsOverride", screen);
    }

    /// What the page complained about by itself.
    pub fn errors(&mut self) -> Vec<String> {
        self.evaluate("0");
        std::mem::take(&mut self.errors)
    }

    fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut order = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        self.orders.flush().unwrap();
        loop {
            let mut message = Vec::new();
            self.answers.read_until(0, &mut message).unwrap();
            message.pop();
            let message: Value = serde_json::from_slice(&message).expect("the browser has ended");
            if COMPLAINTS.iter().any(|name| message["method"] == *name) {
                self.errors.push(message["params"].to_string());
            }
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The shell became the browser, so this is the browser and not more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
