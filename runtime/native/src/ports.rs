//! Ports and socket files that belong to one replica for as long as anything of it is there.

use crate::plan::Endpoint;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Below are the ports that services have by custom.
const LOWEST: u16 = 20_000;
/// How many candidates are tried before the kernel is asked for any port.
const TRIES_MAX: usize = 256;
/// `sun_path` in unix(7), without its final zero.
const SOCKET_PATH_MAX: usize = 107;

/// What leases come from.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Outside the range from which the kernel serves outgoing connections and whoever asks for
    /// any port: out of that one a port could be given away before the replica binds it.
    candidates: Vec<u16>,
    taken: Mutex<Taken>,
    sockets: PathBuf,
    sockets_made: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    ports: BTreeSet<u16>,
    /// Goes round, so that a port rests before it is given again.
    next: usize,
}

/// A port or a socket file that nobody else is given before this is dropped. Put it into the
/// [plan](crate::ReplicaPlan::leases) of the replica that uses it.
#[derive(Debug)]
pub struct Lease {
    endpoint: Endpoint,
    ports: Arc<Ports>,
}

impl Lease {
    /// The address.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The port, unless this is a socket file.
    pub fn port(&self) -> Option<u16> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Some(address.port()),
            Endpoint::Unix(_) => None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match &self.endpoint {
            Endpoint::Tcp(address) => {
                self.ports.taken.lock().ports.remove(&address.port());
            }
            // The replica may never have made it.
            Endpoint::Unix(path) => _ = fs::remove_file(path),
        }
    }
}

impl Ports {
    pub(crate) fn new(sockets: &Path) -> Ports {
        let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        let ephemeral = ephemeral.as_deref().and_then(parse_range).unwrap_or(32_768..=60_999);
        let candidates = (LOWEST..=u16::MAX).filter(|port| !ephemeral.contains(port)).collect();
        // Two servers on one machine begin at different places.
        let next = usize::from(RandomState::new().hash_one("port").to_le_bytes()[0]) << 6;
        Ports {
            candidates,
            taken: Mutex::new(Taken { next, ..Taken::default() }),
            sockets: sockets.to_owned(),
            sockets_made: AtomicU64::new(0),
        }
    }

    /// A port of the loopback interface that nobody listens on.
    pub(crate) fn lease_port(self: &Arc<Self>) -> io::Result<Lease> {
        let mut taken = self.taken.lock();
        let port = match self.next_candidate(&mut taken) {
            Some(port) => port,
            None => any_port(&taken)?,
        };
        taken.ports.insert(port);
        let endpoint = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Lease { endpoint, ports: Arc::clone(self) })
    }

    fn next_candidate(&self, taken: &mut Taken) -> Option<u16> {
        for _ in 0..TRIES_MAX.min(self.candidates.len()) {
            let port = self.candidates[taken.next % self.candidates.len()];
            taken.next = taken.next.wrapping_add(1);
            if !taken.ports.contains(&port) && is_free(port) {
                return Some(port);
            }
        }
        None
    }

    /// A path for a Unix socket that does not exist.
    pub(crate) fn lease_socket(self: &Arc<Self>) -> io::Result<Lease> {
        let number = self.sockets_made.fetch_add(1, Ordering::Relaxed);
        let path = self.sockets.join(format!("{}-{number}.sock", std::process::id()));
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            let text = format!(
                "path of a socket has {length} bytes, the system allows {SOCKET_PATH_MAX}: {}",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.sockets)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Lease { endpoint: Endpoint::Unix(path), ports: Arc::clone(self) }),
        }
    }

    /// Removes the socket files of earlier servers.
    pub(crate) fn remove_leftovers(&self) {
        let own = format!("{}-", std::process::id());
        for entry in fs::read_dir(&self.sockets).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".sock") && !name.starts_with(&own) {
                _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether nobody listens there, on this interface or on all of them.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

fn any_port(taken: &Taken) -> io::Result<u16> {
    for _ in 0..TRIES_MAX {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        if !taken.ports.contains(&port) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port left"))
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.trim().split_once(char::is_whitespace)?;
    Some(low.parse().ok()?..=high.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_given_again_only_after_its_lease() {
        let mut ports = Ports::new(Path::new("/nowhere"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = listener.local_addr().unwrap().port();
        let free: Vec<u16> =
            ports.candidates.iter().copied().filter(|port| is_free(*port)).collect();
        ports.candidates = vec![busy, free[0], free[1]];
        let ports = Arc::new(ports);
        let (first, second) = (ports.lease_port().unwrap(), ports.lease_port().unwrap());
        let mut given = [first.port().unwrap(), second.port().unwrap()];
        given.sort_unstable();
        assert_eq!(given, free[..2], "the busy one is left out");
        let third = ports.lease_port().unwrap().port().unwrap();
        assert!(!given.contains(&third) && third != busy, "from the kernel");
        drop(first);
        assert!(given.contains(&ports.lease_port().unwrap().port().unwrap()));
    }

    #[test]
    fn socket_files_go_with_their_lease() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = folder.path().join("s");
        let ports = Arc::new(Ports::new(&sockets));
        let (first, second) = (ports.lease_socket().unwrap(), ports.lease_socket().unwrap());
        assert_ne!(first.endpoint(), second.endpoint());
        assert_eq!(first.port(), None);
        let Endpoint::Unix(path) = first.endpoint().clone() else { panic!("a socket") };
        fs::write(&path, "").unwrap();
        fs::write(sockets.join("1-0.sock"), "").unwrap();
        ports.remove_leftovers();
        assert!(path.exists() && !sockets.join("1-0.sock").exists());
        drop(first);
        assert!(!path.exists());
        let long = Arc::new(Ports::new(&folder.path().join("x".repeat(100))));
        assert!(long.lease_socket().unwrap_err().to_string().contains("the system allows 107"));
    }

    #[test]
    fn range_of_the_kernel_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("x"), None);
    }
}
