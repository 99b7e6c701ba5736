//! Which sockets the processes of a replica listen on, by `/proc/<pid>/net/tcp` and the inodes of
//! their descriptors.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state `TCP_LISTEN` in `net/tcp`.
const LISTEN: &str = "0A";

/// Addresses that one of these processes listens on, in order. They may be in a network of their
/// own; each is looked at in its.
pub(crate) fn addresses(pids: &[i32]) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = pids.iter().flat_map(|pid| of_process(*pid)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn of_process(pid: i32) -> Vec<SocketAddr> {
    let own = inodes(pid);
    if own.is_empty() {
        return Vec::new();
    }
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")));
    let listening = tables.iter().flatten().flat_map(|text| text.lines().filter_map(parse));
    listening.filter(|(_, inode)| own.contains(inode)).map(|(address, _)| address).collect()
}

/// Inodes of the sockets that a process has open.
fn inodes(pid: i32) -> HashSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |target: std::path::PathBuf| {
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    targets.filter_map(inode).collect()
}

/// Address and inode of a line of `net/tcp` or `net/tcp6`, if it is that of a listening socket.
fn parse(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    // The kernel prints the address as native words, whatever the order of their bytes.
    let words: Vec<[u8; 4]> = (0..address.len())
        .step_by(8)
        .map(|at| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let ip = match <[[u8; 4]; 4]>::try_from(words) {
        Ok(words) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        Err(words) => IpAddr::from(Ipv4Addr::from(*words.first()?)),
    };
    Some((SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn own_listeners_are_found_and_connections_are_not() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = four.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = addresses(&[own, own]);
        assert_eq!(found.iter().filter(|found| **found == address).count(), 1);
        assert!(!found.contains(&client.local_addr().unwrap()));
        if let Ok(six) = TcpListener::bind("[::1]:0") {
            assert!(addresses(&[own]).contains(&six.local_addr().unwrap()));
        }
    }

    #[test]
    fn lines_that_are_cut_are_passed_over() {
        let line = "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 77 1 x 100";
        assert_eq!(parse(line), Some(("127.0.0.1:8080".parse().unwrap(), 77)));
        for bad in ["", "sl local_address rem_address st", &line[..20], "0: zz:1 x 0A a b c d e 1"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
