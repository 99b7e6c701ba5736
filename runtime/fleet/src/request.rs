//! What a hook is asked and what it answers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most characters of a machine's name: it is shown in tables and handed over as a variable.
const MACHINE_CHARS_MAX: usize = 256;
/// Most characters of a remark that are kept.
const NOTE_CHARS_MAX: usize = 1000;

/// What a hook shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Make one worker and start it, so that it reports to the given address.
    Create,
    /// End what was made for the key. It is no error if there is nothing any more.
    Destroy,
    /// Name the machines that still exist for the deployment.
    List,
}

impl Action {
    /// As it is written in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret that a worker joins with. It is never shown in logs, only in what the hook gets.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One request to a hook. Its JSON is the same for every attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    pub action: Action,
    /// Unique per replica and life of it; the same for its create and its destroy. For a list, any
    /// word. A webhook also gets `Idempotency-Key: ACTION-KEY`.
    pub key: String,
    pub deployment: String,
    /// What the worker calls itself when it reports.
    pub worker_id: String,
    /// What the worker proves with that it was invited.
    pub token: Token,
    /// Where the worker reports to.
    pub report_addr: String,
    /// How many accelerators the worker needs; parts of one are possible.
    pub devices: f64,
    /// Why, in plain words.
    pub reason: String,
    /// What the create answered, for a destroy.
    pub machine: Option<String>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, deployment, worker_id, devices, reason, key, .. } = self;
        match action {
            Action::Create => write!(
                f,
                "create worker {worker_id} of {deployment} with {devices} devices ({reason}, \
                 key {key})"
            ),
            Action::Destroy => {
                let machine = self.machine.as_deref().unwrap_or("unknown");
                write!(
                    f,
                    "destroy machine {machine} of worker {worker_id} of {deployment} ({reason}, \
                     key {key})"
                )
            }
            Action::List => write!(f, "list the machines of {deployment} ({reason})"),
        }
    }
}

impl Request {
    /// The request as variables of a command's environment, without their common prefix.
    pub(crate) fn variables(&self) -> [(&'static str, String); 9] {
        [
            ("ACTION", self.action.to_string()),
            ("KEY", self.key.clone()),
            ("DEPLOYMENT", self.deployment.clone()),
            ("WORKER_ID", self.worker_id.clone()),
            ("TOKEN", self.token.0.clone()),
            ("REPORT_ADDR", self.report_addr.clone()),
            ("DEVICES", self.devices.to_string()),
            ("REASON", self.reason.clone()),
            ("MACHINE", self.machine.clone().unwrap_or_default()),
        ]
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and a number can always be written")
    }
}

/// What a hook answered. A hook may answer nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// What the machine is called where it was made. Text or a number.
    #[serde(default, deserialize_with = "name")]
    pub machine: Option<String>,
    /// Those that exist, for a list.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// A remark for people.
    #[serde(default)]
    pub note: Option<String>,
}

/// One machine of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Machine {
    #[serde(deserialize_with = "sure_name")]
    pub machine: String,
    /// The key it was created with, if the hook knows it.
    #[serde(default)]
    pub key: Option<String>,
}

impl Answer {
    /// Reads an answer. Only white space is an answer without content; unknown fields are skipped.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with its beginning.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut answer: Self = serde_json::from_slice(body)
            .map_err(|e| format!("{e}; it begins with `{}`", beginning(body)))?;
        if let Some(note) = &mut answer.note {
            *note = note.chars().filter(|c| !c.is_control()).take(NOTE_CHARS_MAX).collect();
        }
        Ok(answer)
    }
}

/// The first characters of something unexpected, on one line.
pub(crate) fn beginning(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 80;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN_MAX)]);
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_MAX).collect();
    line
}

/// Many providers number their machines.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a machine is text or a whole number")]
enum RawName {
    Text(String),
    Number(u64),
}

fn sure_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = match RawName::deserialize(deserializer)? {
        RawName::Text(text) => text,
        RawName::Number(number) => number.to_string(),
    };
    let usable = !name.is_empty()
        && name.chars().count() <= MACHINE_CHARS_MAX
        && !name.chars().any(char::is_control);
    if usable {
        return Ok(name);
    }
    Err(serde::de::Error::custom(format!(
        "a machine's name has 1 to {MACHINE_CHARS_MAX} characters and no control characters"
    )))
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Sure(#[serde(deserialize_with = "sure_name")] String);
    Ok(Option::<Sure>::deserialize(deserializer)?.map(|Sure(name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            action: Action::Create,
            key: "k1".to_owned(),
            deployment: "chat".to_owned(),
            worker_id: "7".to_owned(),
            token: Token("secret".to_owned()),
            report_addr: "http://a:1".to_owned(),
            devices: 0.5,
            reason: "load".to_owned(),
            machine: None,
        }
    }

    #[test]
    fn request_is_written_as_json() {
        let json: serde_json::Value = serde_json::from_slice(&request().json()).unwrap();
        let wanted = serde_json::json!({
            "action": "create", "key": "k1", "deployment": "chat", "worker_id": "7",
            "token": "secret", "report_addr": "http://a:1", "devices": 0.5, "reason": "load",
            "machine": null,
        });
        assert_eq!(json, wanted);
    }

    #[test]
    fn what_people_read_has_no_token() {
        let request = request();
        assert!(!format!("{request} {request:?}").contains("secret"));
    }

    #[test]
    fn answers_are_read() {
        let machine = |m: &str| Answer { machine: Some(m.to_owned()), ..Answer::default() };
        assert_eq!(Answer::parse(b" \n"), Ok(Answer::default()));
        assert_eq!(Answer::parse(b"{}"), Ok(Answer::default()));
        assert_eq!(Answer::parse(br#"{"machine":null}"#), Ok(Answer::default()));
        assert_eq!(Answer::parse(br#"{"machine":"i-1","more":[1]}"#), Ok(machine("i-1")));
        assert_eq!(Answer::parse(br#"{"machine":4711}"#), Ok(machine("4711")));
        let list = Answer::parse(br#"{"machines":[{"machine":1,"key":"k"},{"machine":"b"}]}"#);
        let list = list.unwrap().machines;
        assert_eq!(list[0], Machine { machine: "1".to_owned(), key: Some("k".to_owned()) });
        assert_eq!(list[1], Machine { machine: "b".to_owned(), key: None });
    }

    #[test]
    fn garbage_is_named() {
        for bad in ["i-123", "[", "\"x\"", "{\"machine\":{}}", "{\"machine\":\"\"}", "\u{0}\u{ff}"]
        {
            assert!(Answer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Answer::parse(b"rented i-123\n").unwrap_err().contains("`rented i-123`"));
        let long = format!("{{\"machine\":\"{}\"}}", "x".repeat(MACHINE_CHARS_MAX + 1));
        assert!(Answer::parse(long.as_bytes()).unwrap_err().contains("1 to 256 characters"));
    }
}
