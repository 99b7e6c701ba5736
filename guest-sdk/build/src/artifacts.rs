//! Reads from cargo's JSON messages which components a build made.

use std::path::PathBuf;

/// The `.wasm` files named in one line of `cargo build --message-format=json`.
///
/// This is not a JSON parser: it reads the `filenames` array of an artifact message, which is an
/// array of strings without nesting.
pub(crate) fn components_in(line: &str) -> Vec<PathBuf> {
    if !line.contains(r#""reason":"compiler-artifact""#) {
        return Vec::new();
    }
    let Some((_, rest)) = line.split_once(r#""filenames":["#) else {
        return Vec::new();
    };
    strings(rest).into_iter().filter(|name| name.ends_with(".wasm")).map(PathBuf::from).collect()
}

/// The strings of an array, from after its opening bracket to its end.
fn strings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            Some('"') => found.push(string(&mut chars)),
            Some(',' | ' ') => {}
            Some(_) | None => return found,
        }
    }
}

/// One string, from after its opening quote to after its closing one.
fn string(chars: &mut std::str::Chars<'_>) -> String {
    let mut value = String::new();
    while let Some(next) = chars.next() {
        match next {
            '"' => break,
            '\\' => match chars.next() {
                Some('u') => {
                    let code: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    value.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Some(escaped) => value.push(escaped),
                None => break,
            },
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_message_names_its_components() {
        let line = r#"{"reason":"compiler-artifact","filenames":["/a b/x.wasm","/a/x.rlib","C:\\y.wasm"],"fresh":true}"#;
        assert_eq!(
            components_in(line),
            [PathBuf::from("/a b/x.wasm"), PathBuf::from(r"C:\y.wasm")]
        );
    }

    #[test]
    fn other_messages_name_none() {
        assert!(components_in(r#"{"reason":"build-finished","success":true}"#).is_empty());
        assert!(components_in("plain text").is_empty());
    }
}
