//! What can be wrong with a spec, with the path of the setting it is about.

/// Why a spec was refused. Printed, it names the setting, the value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct SpecError {
    pub kind: SpecErrorKind,
    /// Path of the setting, like `spec.queue.max`; empty when it is about the whole text.
    pub field: String,
    /// What is wrong, without the field.
    pub problem: String,
    /// What to do about it, if there is more to say than the problem does.
    pub hint: Option<String>,
}

/// The sort of a [`SpecError`]; each has one code in the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecErrorKind {
    /// The text is not JSON or TOML at all.
    Syntax,
    /// A key that does not exist.
    UnknownField,
    /// A value that is not allowed, or a missing one.
    InvalidField,
    /// More than one request at a time for a handler that takes one.
    ConcurrencyUnsupported,
}

impl SpecError {
    /// A value that cannot be used for the reason in `problem`.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> SpecError {
        SpecError {
            kind: SpecErrorKind::InvalidField,
            field: field.into(),
            problem: problem.into(),
            hint: None,
        }
    }

    /// The same error with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> SpecError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error for a spec that is itself a part of something: `queue.max` below `spec` is
    /// `spec.queue.max`.
    pub fn below(mut self, root: &str) -> SpecError {
        self.field = join(root, &self.field);
        self
    }

    /// A text that is not JSON or TOML at all.
    pub fn syntax(problem: impl Into<String>) -> SpecError {
        SpecError {
            kind: SpecErrorKind::Syntax,
            field: String::new(),
            problem: problem.into(),
            hint: None,
        }
    }

    /// Turns the message of a deserializer that was run under `serde_path_to_error`.
    ///
    /// Serde has no type for "unknown field", only a sentence, so the sentence is looked at.
    pub fn from_serde(root: &str, path: &serde_path_to_error::Path, message: &str) -> SpecError {
        let path = match path.to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let problem = without_position(message);
        let Some((key, allowed)) = unknown_key(&problem) else {
            return SpecError::invalid(join(root, &path), problem);
        };
        let hint = closest(&key, &allowed).map(|name| format!("did you mean `{name}`?"));
        // The path may or may not contain the key itself, depending on the format.
        let parent = match path.strip_suffix(key.as_str()) {
            Some(parent) if parent.is_empty() || parent.ends_with('.') => {
                parent.trim_end_matches('.')
            }
            Some(_) | None => path.as_str(),
        };
        let allowed: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
        SpecError {
            kind: SpecErrorKind::UnknownField,
            field: join(&join(root, parent), &key),
            problem: format!("there is no such key, use one of {}", allowed.join(", ")),
            hint,
        }
    }

    fn text(&self) -> String {
        if self.field.is_empty() {
            return self.problem.clone();
        }
        format!("{}: {}", self.field, self.problem)
    }
}

fn join(root: &str, path: &str) -> String {
    match (root.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => root.to_owned(),
        (false, false) => format!("{root}.{path}"),
    }
}

/// Cuts ` at line 1 column 7`: in a message about a named field it is noise.
fn without_position(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

/// The key and the allowed ones of "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let key = quoted.next()?;
    Some((key, quoted.collect()))
}

/// The allowed name that differs from `key` by the fewest edits, if that is at most two.
fn closest<'a>(key: &str, allowed: &'a [String]) -> Option<&'a String> {
    const EDITS_MAX: usize = 2; // More than that is another word.
    let best = allowed.iter().min_by_key(|name| (edits(key, name), name.as_str()))?;
    (edits(key, best) <= EDITS_MAX).then_some(best)
}

/// Levenshtein distance over bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
