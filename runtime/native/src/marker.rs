//! The mark that every process of a replica inherits: an environment variable that says which
//! server, of which data folder, started it for which replica.

use crate::owners::Mark;
use crate::table::{self, Identity};
use crate::tag::Tag;
use std::io;

/// The environment variable; its value is `<marker>/<server>/<number>`.
pub const VARIABLE: &str = "SAMOVAR_REPLICA";

/// Whose processes are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Stays the same when a server is started again.
    marker: String,
    /// One run of the server, so that what looks after an earlier one leaves this one alone.
    server: String,
}

impl Marker {
    /// The marker of the replicas of the server that is process `own`.
    ///
    /// # Errors
    ///
    /// A marker that is empty or has other characters than letters, digits and `.-_`.
    pub(crate) fn new(marker: &str, own: Identity) -> io::Result<Marker> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if marker.is_empty() || !marker.chars().all(is_plain) {
            let text = format!("marker `{marker}`: use letters, digits, `.`, `-` and `_`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Marker { marker: marker.to_owned(), server: format!("{}.{}", own.pid, own.start) })
    }

    /// The value of the variable for a replica.
    pub(crate) fn value(&self, replica: u64) -> String {
        format!("{}/{}/{replica}", self.marker, self.server)
    }

    /// What the keeper is told first.
    pub(crate) fn to_line(&self) -> String {
        format!("{} {}\n", self.marker, self.server)
    }

    /// The inverse of [`Marker::to_line`].
    pub(crate) fn from_line(line: &str) -> Option<Marker> {
        let (marker, server) = line.trim_end().split_once(' ')?;
        Some(Marker { marker: marker.to_owned(), server: server.to_owned() })
    }

    /// The second mark, for who cleans its environment.
    pub(crate) fn tag(&self, replica: u64) -> Tag {
        Tag::new(&self.marker, &self.server, replica)
    }

    /// Whether a process was started by this run of the server.
    pub(crate) fn of_this_server(&self, pid: i32) -> Mark {
        self.look(pid, |is_this_server| is_this_server)
    }

    /// Whether a process was started by an earlier run of the server.
    pub(crate) fn of_earlier_servers(&self, pid: i32) -> Mark {
        self.look(pid, |is_this_server| !is_this_server)
    }

    fn look(&self, pid: i32, is_wanted: impl Fn(bool) -> bool) -> Mark {
        let variable = table::variable(pid, VARIABLE);
        match self.judge(variable.as_deref(), |server| is_wanted(server == self.server)) {
            Mark::Ours(number) => Mark::Ours(number),
            other @ (Mark::Foreign | Mark::Missing) => {
                Tag::of(pid).map_or(other, |tag| tag.judge(self.tag(0), is_wanted))
            }
        }
    }

    fn judge(&self, value: Option<&str>, is_wanted: impl Fn(&str) -> bool) -> Mark {
        let Some(value) = value else { return Mark::Missing };
        let mut parts = value.split('/');
        let (marker, server, number) = (parts.next(), parts.next(), parts.next());
        match number.and_then(|number| number.parse().ok()) {
            Some(number) if marker == Some(&self.marker) && server.is_some_and(is_wanted) => {
                Mark::Ours(number)
            }
            _ => Mark::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        let marker = Marker { marker: "data".into(), server: "7.9".into() };
        assert_eq!(Marker::from_line(&marker.to_line()), Some(marker.clone()));
        let now = |value: Option<&str>| marker.judge(value, |server| server == marker.server);
        let earlier = |value: Option<&str>| marker.judge(value, |server| server != marker.server);
        assert_eq!(now(Some(&marker.value(3))), Mark::Ours(3));
        assert_eq!(earlier(Some(&marker.value(3))), Mark::Foreign);
        assert_eq!(now(Some("data/7.8/3")), Mark::Foreign);
        assert_eq!(earlier(Some("data/7.8/3")), Mark::Ours(3));
        assert_eq!(earlier(Some("data2/7.8/3")), Mark::Foreign);
        assert_eq!(earlier(Some("data/7.8")), Mark::Foreign);
        assert_eq!(earlier(Some("data/7.8/x")), Mark::Foreign);
        assert_eq!(earlier(None), Mark::Missing);
    }

    #[test]
    fn marker_must_be_plain() {
        let own = Identity { pid: 7, start: 9 };
        assert!(Marker::new("a-b_c.9", own).is_ok());
        for bad in ["", "a/b", "a b", "a\n", "ä"] {
            assert!(Marker::new(bad, own).is_err(), "{bad:?}");
        }
    }
}
