//! Values of options: `KEY=VALUE`, and switches.

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::spec::{RawSecret, Reuse};

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    On,
    Off,
}

/// One `--set KEY=VALUE` of a policy. The value is JSON if it can be, and text otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: String,
    value: Value,
}

/// One `--env KEY=VALUE` of a handler. The value is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub key: String,
    pub value: String,
}

/// One `--secret NAME=env:VARIABLE` or `--secret NAME=file:PATH`.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretOption {
    pub name: String,
    pub from: RawSecret,
}

impl std::str::FromStr for SecretOption {
    type Err = String;

    fn from_str(text: &str) -> Result<SecretOption, String> {
        let how = || "write it like NAME=env:VARIABLE or NAME=file:PATH".to_owned();
        let Variable { key: name, value } = text.parse().map_err(|_| how())?;
        let from = match value.split_once(':') {
            Some(("env", name)) => RawSecret { env: Some(name.to_owned()), file: None },
            Some(("file", path)) => RawSecret { env: None, file: Some(path.into()) },
            Some(_) | None => return Err(how()),
        };
        Ok(SecretOption { name, from })
    }
}

impl From<OnOff> for Reuse {
    fn from(switch: OnOff) -> Reuse {
        match switch {
            OnOff::On => Reuse::On,
            OnOff::Off => Reuse::Off,
        }
    }
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let Variable { key, value } = text.parse()?;
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        Ok(Setting { key, value })
    }
}

impl std::str::FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Variable, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Variable { key: key.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err("write it like KEY=VALUE".to_owned()),
        }
    }
}

/// The settings as the configuration of a policy; a later one wins over an earlier one.
pub fn config(settings: Vec<Setting>) -> Map<String, Value> {
    settings.into_iter().map(|setting| (setting.key, setting.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_text() {
        let parse = |text: &str| text.parse::<Setting>().unwrap().value;
        assert_eq!(parse("a=2"), Value::from(2));
        assert_eq!(parse("a=2.5"), Value::from(2.5));
        assert_eq!(parse("a=true"), Value::from(true));
        assert_eq!(parse("a=[1,2]"), Value::from(vec![1, 2]));
        assert_eq!(parse("a=fast"), Value::from("fast"));
        assert_eq!(parse("a=b=c"), Value::from("b=c"));
        assert_eq!(parse("a="), Value::from(""));
        assert!("a".parse::<Setting>().is_err());
        assert!("=1".parse::<Variable>().is_err());
    }
}
