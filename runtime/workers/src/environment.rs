//! What a worker process has to be told.

use crate::address::Address;
use crate::secret::Secret;

/// A worker that we start, as its environment describes it.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Its name. All generations but the smallest worker turn it into a whole number.
    pub id: u64,
    /// What it proves itself with.
    pub token: &'a Secret,
    /// Where it reports: `http://host:port/prefix`, without a slash at the end. The worker of 2024
    /// ignores the prefix and has no token in its messages; for it, the user and password of
    /// `http://user:token@host:port` come as `Authorization: Basic`.
    pub report_to: &'a str,
    /// Where it listens and says that it does.
    pub address: &'a Address,
    /// A second port of its own, on which today's worker ends sessions.
    pub session_port: u16,
    /// Whether it serves requests without a signature.
    pub is_unsecured: bool,
}

/// The variables for a worker of any generation, to be set over what the process inherits.
///
/// Today's worker reads the result of its benchmark from the file `.has_benchmark` in its working
/// directory if it is there, so each worker gets a directory of its own.
///
/// Sources: `lib/metrics.py`, `lib/server.py` and `lib/backend.py` of package `vastai` 1.9.1;
/// `server.py`, `logwatch.py` and `tgi/metrics.py` of `vast-ai/vast-pyworker` at 42cc75e.
pub fn variables(start: &Start<'_>) -> Vec<(String, String)> {
    let port = start.address.port().to_string();
    let mut variables = vec![
        ("CONTAINER_ID".to_owned(), start.id.to_string()),
        ("MASTER_TOKEN".to_owned(), start.token.reveal().to_owned()),
        ("REPORT_ADDR".to_owned(), start.report_to.to_owned()),
        ("PUBLIC_IPADDR".to_owned(), start.address.host().to_owned()),
        ("WORKER_PORT".to_owned(), port.clone()),
        ("WORKER_HTTP_PORT".to_owned(), start.session_port.to_string()),
        (format!("VAST_TCP_PORT_{port}"), port.clone()),
        ("AUTH_PORT".to_owned(), port.clone()),
        ("USE_SSL".to_owned(), "false".to_owned()),
        ("UNSECURED".to_owned(), start.is_unsecured.to_string()),
    ];
    if port != "3000" {
        // The first generation's text generation knows its public port only by this name.
        variables.push(("VAST_TCP_PORT_3000".to_owned(), port));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(port: u16) -> String {
        let address = Address::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let start = Start {
            id: 12,
            token: &Secret::new("tok"),
            report_to: "http://127.0.0.1:8001/vast/chat",
            address: &address,
            session_port: 4001,
            is_unsecured: false,
        };
        let lines = variables(&start).into_iter().map(|(name, value)| format!("{name}={value}\n"));
        lines.collect()
    }

    #[test]
    fn a_worker_is_told_what_it_wants_to_know() {
        expect_test::expect![[r"
            CONTAINER_ID=12
            MASTER_TOKEN=tok
            REPORT_ADDR=http://127.0.0.1:8001/vast/chat
            PUBLIC_IPADDR=127.0.0.1
            WORKER_PORT=4000
            WORKER_HTTP_PORT=4001
            VAST_TCP_PORT_4000=4000
            AUTH_PORT=4000
            USE_SSL=false
            UNSECURED=false
            VAST_TCP_PORT_3000=4000
        "]]
        .assert_eq(&text(4000));
        assert_eq!(text(3000).matches("VAST_TCP_PORT_3000").count(), 1);
    }
}
