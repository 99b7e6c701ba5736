//! Reads a policy's configuration and words its errors for people.

use serde::de::DeserializeOwned;

/// Reads a policy's configuration from the JSON the host gives it.
///
/// Nothing at all counts as `{}`, and `{}` suits a unit type such as `()`. Policies get this done
/// for them; it is public for native tests.
///
/// ```
/// #[derive(serde::Deserialize, Debug)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     target: f64,
/// }
/// let parse = samovar_sdk::parse_config::<Config>;
/// assert_eq!(parse(r#"{"target": 2}"#).unwrap().target, 2.0);
/// assert_eq!(parse(r#"{"tarket": 2}"#).unwrap_err(), "unknown field `tarket`, expected `target`");
/// assert_eq!(
///     parse(r#"{"target": "two"}"#).unwrap_err(),
///     r#"`target`: invalid type: string "two", expected f64"#
/// );
/// assert!(samovar_sdk::parse_config::<()>("{}").is_ok());
/// ```
///
/// # Errors
///
/// A text that names the key and says what is wrong with it.
pub fn parse_config<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let mut reader = serde_json::Deserializer::from_str(json);
    let error = match serde_path_to_error::deserialize(&mut reader) {
        Ok(config) => return reader.end().map(|()| config).map_err(|error| worded("", &error)),
        Err(error) => error,
    };
    // Unit types read `null`, never an object; an empty object means the same to people.
    if serde_json::from_str::<C>("null").is_ok() && is_object(json) {
        return match serde_json::from_str(json).unwrap_or_default() {
            serde_json::Value::Object(keys) => match keys.keys().next() {
                None => serde_json::from_str("null").map_err(|error| worded("", &error)),
                Some(key) => {
                    Err(format!("unknown field `{key}`, this policy has no configuration"))
                }
            },
            _ => Err(worded("", error.inner())),
        };
    }
    Err(worded(&error.path().to_string(), error.inner()))
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// The error without its place in the text, which the user never saw, but with the key's name.
fn worded(path: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(place.as_str()).unwrap_or(&text);
    let names_its_key = text.starts_with("unknown field") || text.starts_with("missing field");
    match path {
        "" | "." | "?" => text.to_owned(),
        _ if names_its_key && !path.contains(['.', '[']) => text.to_owned(),
        path => format!("`{path}`: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_config;

    #[derive(serde::Deserialize, Debug, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        target: f64,
        inner: Inner,
    }

    #[derive(serde::Deserialize, Debug, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        seconds: u32,
    }

    fn error(json: &str) -> String {
        parse_config::<Config>(json).unwrap_err()
    }

    #[test]
    fn nothing_is_an_empty_object() {
        assert_eq!(parse_config::<Config>(" "), Ok(Config::default()));
        assert_eq!(parse_config::<()>(""), Ok(()));
    }

    #[test]
    fn errors_name_the_key() {
        assert_eq!(error(r#"{"a": 1}"#), "unknown field `a`, expected `target` or `inner`");
        assert_eq!(
            error(r#"{"inner": {"seconds": -1}}"#),
            "`inner.seconds`: invalid value: integer `-1`, expected u32"
        );
        assert_eq!(
            error(r#"{"inner": {"minutes": 1}}"#),
            "`inner.minutes`: unknown field `minutes`, expected `seconds`"
        );
    }

    #[test]
    fn unit_configuration_takes_no_keys() {
        let error = parse_config::<()>(r#"{"target": 1}"#).unwrap_err();
        assert_eq!(error, "unknown field `target`, this policy has no configuration");
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert_eq!(error("{"), "EOF while parsing an object");
        assert_eq!(error("{} x"), "trailing characters");
    }
}
