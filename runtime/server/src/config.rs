//! The configuration of the server: flags over environment over file, checked as a whole.
//!
//! Nothing is bound, created or started here, so a wrong configuration costs nothing. Reading the
//! files it names is all the I/O there is.

mod manifest;
mod secret;
mod settings;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use manifest::{ComponentSource, Manifest, ManifestDeployment, ManifestPolicy};
pub use secret::Secret;
pub use settings::{LogFormat, ServerSettings};

use crate::spec::{self, SpecError};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const DEFAULT_DATA: &str = "samovar-data";
const DEFAULT_SLOTS: u32 = 1000;

/// A day of draining is a server that does not stop.
const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest handlers, whole language runtimes, are about 100 MiB; the compiler needs many times
/// the size of its input.
const COMPONENT_SIZE: (u64, u64) = (1024, GIB);
/// Below a second not even a small handler compiles on a busy machine; an hour is a hang.
const COMPILE_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Below this the compiler does not start.
const COMPILE_MEMORY: (u64, u64) = (256 * MIB, 1024 * GIB);
/// None at all is allowed: code is then mapped anew for each first request.
const CODE_CACHE: (u64, u64) = (0, 1024 * GIB);
/// Each slot reserves 4 GiB and more of address space, of which a process has 128 TiB.
const SLOTS: (u32, u32) = (1, 20_000);

/// A checked configuration of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address of the data plane; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Address of the admin API; port 0 lets the system choose.
    pub admin: SocketAddr,
    /// Folder of the store; made if it is not there.
    pub data: PathBuf,
    /// Token that every request to `/v1` must bring. Always there when `admin` can be reached from
    /// other machines.
    pub admin_token: Option<Secret>,
    /// How long requests may go on after the server was told to stop.
    pub drain_timeout: Duration,
    /// Largest upload, in bytes.
    pub max_component_size: u64,
    /// Longest compilation of one component.
    pub compile_timeout: Duration,
    /// Most memory of one compilation, in bytes.
    pub compile_memory: u64,
    /// Most bytes of compiled code that is kept in memory although no replica runs it.
    pub code_cache: u64,
    /// Most replicas on this machine, of all deployments together.
    pub slots: u32,
    /// Accelerators as they were written; `auto` if nothing was.
    pub devices: String,
    /// Whether deployments may run native processes.
    pub processes: bool,
    /// URL under which workers reach the admin API; none if it is the address it listens on.
    pub workers_url: Option<String>,
    pub log_format: LogFormat,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}", path.display())]
    File { path: PathBuf, source: SpecError },
    #[error(transparent)]
    Value(#[from] SpecError),
    #[error("the admin API at {admin} can be reached from other machines, but there is no token")]
    PublicAdminWithoutToken { admin: SocketAddr },
    #[error("the data plane and the admin API cannot both listen on {address}")]
    SameAddress { address: SocketAddr },
    #[error("{origin} holds no usable token: {problem}")]
    Token { origin: String, problem: &'static str },
}

impl ConfigError {
    /// What to do about it, if there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::PublicAdminWithoutToken { .. } => Some(
                "give it one with --admin-token-file FILE or the variable SAMOVAR_ADMIN_TOKEN, or \
                 use an address of this machine only, like 127.0.0.1:9090"
                    .to_owned(),
            ),
            ConfigError::SameAddress { .. } => Some("change --listen or --admin".to_owned()),
            ConfigError::Token { .. } => {
                Some("a token is one line of printable ASCII without spaces".to_owned())
            }
            ConfigError::File { source, .. } | ConfigError::Value(source) => source.hint.clone(),
            ConfigError::Read { .. } => None,
        }
    }
}

/// Where the configuration comes from.
pub struct Sources {
    /// Flags, with the environment below them.
    pub flags: ServerSettings,
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The variable `SAMOVAR_ADMIN_TOKEN`.
    pub token: Option<String>,
}

/// Puts the sources together and checks the result. Also returns warnings, one sentence each.
///
/// # Errors
///
/// When a file cannot be read, or a value, or the combination of values, is not allowed.
pub fn load(sources: Sources) -> Result<(ServerConfig, Vec<String>), ConfigError> {
    let file = match &sources.file {
        Some(path) => ServerSettings::read(path)?,
        None => ServerSettings::default(),
    };
    let mut warnings = Vec::new();
    // The token in the environment ranks between the two places that can name a token file.
    let admin_token = match (&sources.flags.admin_token_file, sources.token) {
        (Some(path), _) => Some(read_token(path, &mut warnings)?),
        (None, Some(text)) => Some(token(&text, "the variable SAMOVAR_ADMIN_TOKEN")?),
        (None, None) => match &file.admin_token_file {
            Some(path) => Some(read_token(path, &mut warnings)?),
            None => None,
        },
    };
    let config = check(sources.flags.or(file), admin_token)?;
    Ok((config, warnings))
}

fn check(
    settings: ServerSettings,
    admin_token: Option<Secret>,
) -> Result<ServerConfig, ConfigError> {
    let listen = settings.listen.unwrap_or(DEFAULT_LISTEN);
    let admin = settings.admin.unwrap_or(DEFAULT_ADMIN);
    if listen == admin && listen.port() != 0 {
        return Err(ConfigError::SameAddress { address: listen });
    }
    if admin_token.is_none() && !admin.ip().to_canonical().is_loopback() {
        return Err(ConfigError::PublicAdminWithoutToken { admin });
    }
    let half_a_minute = Duration::from_secs(30);
    let drain_bounds = (Duration::ZERO, DRAIN_TIMEOUT_MAX);
    let two_minutes = Duration::from_secs(120);
    Ok(ServerConfig {
        listen,
        admin,
        data: settings.data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)),
        admin_token,
        drain_timeout: spec::duration(
            "drain_timeout",
            settings.drain_timeout,
            half_a_minute,
            drain_bounds,
        )?,
        max_component_size: spec::size(
            "max_component_size",
            settings.max_component_size,
            64 * MIB,
            COMPONENT_SIZE,
        )?,
        compile_timeout: spec::duration(
            "compile_timeout",
            settings.compile_timeout,
            two_minutes,
            COMPILE_TIMEOUT,
        )?,
        compile_memory: spec::size(
            "compile_memory",
            settings.compile_memory,
            2 * GIB,
            COMPILE_MEMORY,
        )?,
        code_cache: spec::size("code_cache", settings.code_cache, 64 * MIB, CODE_CACHE)?,
        slots: spec::within("slots", settings.slots.unwrap_or(DEFAULT_SLOTS), SLOTS)?,
        devices: devices(settings.devices)?,
        processes: settings.processes.unwrap_or(true),
        workers_url: settings.workers_url.map(workers_url).transpose()?,
        log_format: settings.log_format.unwrap_or_default(),
    })
}

fn devices(written: Option<String>) -> Result<String, SpecError> {
    let text = written.unwrap_or_else(|| "auto".to_owned());
    if text != "auto" {
        samovar_native::devices::configured(&text)
            .map_err(|problem| SpecError::invalid("devices", problem))?;
    }
    Ok(text)
}

fn workers_url(url: String) -> Result<String, SpecError> {
    Ok(spec::web("workers_url", url)?.trim_end_matches('/').to_owned())
}

/// Reads a token from a file; white space around it is ignored.
///
/// # Errors
///
/// When the file cannot be read, or holds no usable token.
pub fn read_token(path: &Path, warnings: &mut Vec<String>) -> Result<Secret, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(read_error)?;
    if is_readable_by_all(path).map_err(read_error)? {
        warnings.push(format!(
            "the token file {} can be read by every user of this machine; run `chmod 600` on it",
            path.display()
        ));
    }
    token(&text, &path.display().to_string())
}

/// A token from text; `origin` is named in the error.
///
/// # Errors
///
/// When it is empty or could not be sent in a header.
pub fn token(text: &str, origin: &str) -> Result<Secret, ConfigError> {
    let token = text.trim();
    let problem = if token.is_empty() {
        "it is empty"
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it has spaces or characters that are not ASCII"
    } else {
        return Ok(Secret::new(token));
    };
    Err(ConfigError::Token { origin: origin.to_owned(), problem })
}

#[cfg(unix)]
fn is_readable_by_all(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    const READABLE_BY_OTHERS: u32 = 0o004;
    Ok(fs::metadata(path)?.permissions().mode() & READABLE_BY_OTHERS != 0)
}

#[cfg(not(unix))]
fn is_readable_by_all(_path: &Path) -> io::Result<bool> {
    Ok(false)
}
