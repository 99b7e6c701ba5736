//! Before the start of a member, and what to make of a start that failed.

use crate::failure::Failure;
use crate::marker::{Marker, VARIABLE};
use crate::plan::{Endpoint, MemberPlan};
use crate::spawn::Launch;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// What the server is told by its environment is not for replicas.
const SERVER_PREFIX: &[u8] = b"SAMOVAR_";
/// Where execvp(3) looks without `PATH`.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// Whether there is something that `program` means in `cwd`, as far as that can be seen without
/// starting it. The server's own `PATH` counts.
///
/// # Errors
///
/// [`Failure::BadFolder`], [`Failure::NotFound`] or [`Failure::NotExecutable`].
pub fn check(program: &str, cwd: Option<&Path>) -> Result<(), Failure> {
    if let Some(failure) = cwd.and_then(bad_folder) {
        return Err(failure);
    }
    let attempt = Attempt {
        program: program.into(),
        cwd: cwd.map(Path::to_owned),
        path: std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()),
    };
    let Some(file) = attempt.find() else {
        return Err(Failure::NotFound { program: program.to_owned() });
    };
    let is_program = std::fs::metadata(&file)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if is_program {
        return Ok(());
    }
    let why = why_denied(&file).to_owned();
    Err(Failure::NotExecutable { program: program.to_owned(), why })
}

/// The process to start for a member, with the marks of its replica.
pub(crate) fn prepare(plan: MemberPlan, marker: &Marker, replica: u64) -> Launch {
    let is_for_replicas = |name: &OsStr| !name.as_bytes().starts_with(SERVER_PREFIX);
    let mut env: Vec<(OsString, OsString)> =
        std::env::vars_os().filter(|(name, _)| is_for_replicas(name)).collect();
    env.extend(plan.env.into_iter().map(|(name, value)| (name.into(), value.into())));
    env.push((VARIABLE.into(), marker.value(replica).into()));
    let tag = Some(marker.tag(replica));
    Launch { program: plan.program, args: plan.args, env, cwd: plan.cwd, tag }
}

/// Sees to it that the address is free: else somebody else would answer in the replica's name. A
/// socket that nobody listens on is removed.
pub(crate) async fn check_address(endpoint: &Endpoint) -> Result<(), Failure> {
    let is_taken = match endpoint {
        Endpoint::Tcp(address) => {
            let bound = TcpListener::bind(address);
            bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        }
        Endpoint::Unix(path) => match UnixStream::connect(path).await {
            Ok(_) => true,
            Err(_) => {
                let kind = std::fs::symlink_metadata(path).map(|found| found.file_type());
                if kind.is_ok_and(|kind| kind.is_socket()) {
                    _ = std::fs::remove_file(path); // If that fails, so will the replica.
                }
                false
            }
        },
    };
    if is_taken { Err(Failure::AddressTaken { endpoint: endpoint.clone() }) } else { Ok(()) }
}

/// What is tried, to explain it if it fails.
#[derive(Debug)]
pub(crate) struct Attempt {
    program: OsString,
    cwd: Option<PathBuf>,
    path: OsString,
}

impl Attempt {
    pub(crate) fn of(launch: &Launch) -> Attempt {
        let path = launch.env.iter().rfind(|(name, _)| name == "PATH");
        Attempt {
            program: launch.program.clone(),
            cwd: launch.cwd.clone(),
            path: path.map_or_else(|| PATH_DEFAULT.into(), |(_, value)| value.clone()),
        }
    }

    /// The system only says "not found" or "permission denied", and not of what.
    pub(crate) fn why_not(&self, error: &io::Error) -> Failure {
        if let Some(failure) = self.cwd.as_deref().and_then(bad_folder) {
            return failure;
        }
        let program = self.program.to_string_lossy().into_owned();
        let file = self.find();
        match (error.raw_os_error(), file) {
            (Some(libc::ENOENT | libc::ENOTDIR), None) => Failure::NotFound { program },
            (Some(libc::ENOENT), Some(_)) => {
                let why = "its interpreter (first line, or dynamic loader) does not exist".into();
                Failure::NotExecutable { program, why }
            }
            (Some(libc::EACCES), Some(file)) => {
                let why = why_denied(&file).to_owned();
                Failure::NotExecutable { program, why }
            }
            (Some(libc::ENOEXEC), _) => {
                let why = "not a program for this machine, nor a script with `#!`".into();
                Failure::NotExecutable { program, why }
            }
            _ => Failure::NotStarted { program, why: error.to_string() },
        }
    }

    /// The file that the program's name means, if there is one.
    fn find(&self) -> Option<PathBuf> {
        let cwd = self.cwd.clone().unwrap_or_default();
        if self.program.as_bytes().contains(&b'/') {
            return Some(cwd.join(&self.program)).filter(|file| file.exists());
        }
        let files =
            std::env::split_paths(&self.path).map(|folder| cwd.join(folder).join(&self.program));
        let found: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
        found.into_iter().next()
    }
}

fn why_denied(file: &Path) -> &'static str {
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => "it is a folder",
        Ok(found) if found.permissions().mode() & 0o111 == 0 => "the file is not executable",
        _ => "permission denied",
    }
}

fn bad_folder(folder: &Path) -> Option<Failure> {
    let why = match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => "is not a folder".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    Some(Failure::BadFolder { path: folder.to_owned(), why })
}
