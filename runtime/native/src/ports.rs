//! Ports and socket files that belong to one replica for as long as anything of it is there.

use crate::plan::Endpoint;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// Goes round, so that a port rests before it is given again.
    next: AtomicUsize,
    sockets: PathBuf,
    sockets_made: AtomicU64,
}

/// A port or a socket file that nobody else is given before this is dropped. Put it into the
/// [plan](crate::ReplicaPlan::leases) of the replica that uses it.
#[derive(Debug)]
pub struct Lease {
    endpoint: Endpoint,
    _claim: Option<Claim>,
}

/// Keeps a port from other servers too, whatever their processes: a socket whose name in the
/// abstract namespace says which. That namespace is of the same network as the ports, and leaves
/// nothing behind.
type Claim = UnixDatagram;

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
        if let Endpoint::Unix(path) = &self.endpoint {
            _ = fs::remove_file(path); // The replica may never have made it.
        }
    }
}

impl Ports {
    pub(crate) fn new(sockets: &Path) -> Ports {
        let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        let ephemeral = ephemeral.as_deref().and_then(parse_range).unwrap_or(32_768..=60_999);
        let candidates = (LOWEST..=u16::MAX).filter(|port| !ephemeral.contains(port)).collect();
        // Two servers on one machine begin at different places.
        let hash = RandomState::new().hash_one("port").to_le_bytes();
        let next = usize::from(u16::from_le_bytes([hash[0], hash[1]]));
        Ports {
            candidates,
            next: AtomicUsize::new(next),
            sockets: sockets.to_owned(),
            sockets_made: AtomicU64::new(0),
        }
    }

    /// A port of the loopback interface that nobody listens on or has a lease of.
    pub(crate) fn lease_port(&self) -> io::Result<Lease> {
        for _ in 0..TRIES_MAX.min(self.candidates.len()) {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let port = self.candidates[next % self.candidates.len()];
            if let Some(claim) = claim(port)?
                && is_free(port)
            {
                return Ok(port_lease(port, claim));
            }
        }
        for _ in 0..TRIES_MAX {
            let any = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
            if let Some(claim) = claim(any)? {
                return Ok(port_lease(any, claim));
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port left"))
    }

    /// A path for a Unix socket that does not exist.
    pub(crate) fn lease_socket(&self) -> io::Result<Lease> {
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
            _ => Ok(Lease { endpoint: Endpoint::Unix(path), _claim: None }),
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

fn port_lease(port: u16, claim: Claim) -> Lease {
    let endpoint = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Lease { endpoint, _claim: Some(claim) }
}

/// Takes a port, unless somebody else has.
fn claim(port: u16) -> io::Result<Option<Claim>> {
    let name = unix::net::SocketAddr::from_abstract_name(format!("samovar-port-{port}"))?;
    match UnixDatagram::bind_addr(&name) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
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
        let free = [(); 2].map(|()| ports.lease_port().unwrap()); // By chance, so nobody's.
        let mut free = free.map(|lease| lease.port().unwrap());
        free.sort_unstable();
        ports.candidates = vec![busy, free[0], free[1]];
        let other = Ports { candidates: ports.candidates.clone(), ..Ports::new(Path::new("/x")) };
        let (first, second) = (ports.lease_port().unwrap(), other.lease_port().unwrap());
        let mut given = [first.port().unwrap(), second.port().unwrap()];
        given.sort_unstable();
        assert_eq!(given, free, "the busy one is left out");
        let third = ports.lease_port().unwrap().port().unwrap();
        assert!(!given.contains(&third) && third != busy, "from the kernel");
        drop(first);
        assert!(given.contains(&ports.lease_port().unwrap().port().unwrap()));
    }

    #[test]
    fn socket_files_go_with_their_lease() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = folder.path().join("s");
        let ports = Ports::new(&sockets);
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
        let long = Ports::new(&folder.path().join("x".repeat(100)));
        assert!(long.lease_socket().unwrap_err().to_string().contains("the system allows 107"));
    }

    #[test]
    fn range_of_the_kernel_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("x"), None);
    }
}
