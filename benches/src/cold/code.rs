//! Where a deployment's compiled code is: on disk, in the kernel's cache, in the server's memory.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{Advice, fadvise},
    process::Pid,
};
use samovar_tests::{Samovar, eventually, status};

/// The file with the compiled code of a component.
pub struct CodeFile {
    path: PathBuf,
    name: String,
}

impl CodeFile {
    /// Of the deployment called `deployment`.
    ///
    /// # Errors
    ///
    /// When the server keeps it in another way than it used to.
    pub async fn of(samovar: &Samovar, deployment: &str) -> Result<Self> {
        let seen = samovar.status(deployment).await;
        let digest = status::text(&seen, "/component");
        let (_, hex) = digest.split_once(':').context("a digest has two parts")?;
        let folder = samovar.data().join("code");
        for entry in fs::read_dir(&folder).context("read the folder of compiled code")? {
            let entry = entry.context("read the folder of compiled code")?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with(hex) {
                return Ok(Self { path: entry.path(), name });
            }
        }
        bail!("no file of {digest} in {}", folder.display())
    }

    /// Whether the process has it mapped.
    pub fn is_loaded(&self, pid: Pid) -> Result<bool> {
        let path = format!("/proc/{}/maps", pid.as_raw_nonzero());
        let maps = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(maps.lines().any(|line| line.ends_with(&self.name)))
    }

    /// Waits until the server has forgotten the code.
    ///
    /// # Errors
    ///
    /// When the server has gone.
    pub async fn forgotten(&self, samovar: &Samovar) -> Result<()> {
        let what = "the code of a deployment at zero is forgotten";
        eventually(what, async || match self.is_loaded(samovar.pid()) {
            Ok(true) => None,
            other => Some(other.map(drop)),
        })
        .await
    }

    /// Takes it out of the kernel's cache of files. Nobody may have it mapped.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or written to disk.
    pub fn uncache(&self) -> Result<()> {
        let file = File::open(&self.path).context("open compiled code")?;
        file.sync_all().context("write compiled code to disk")?; // What is not there has to stay.
        fadvise(&file, 0, None, Advice::DontNeed).context("take compiled code out of the cache")
    }
}

/// Bytes that the process had read from a disk so far, by whatever way.
pub fn disk_bytes(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{}/io", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let field = text.lines().find_map(|line| line.strip_prefix("read_bytes:"));
    let bytes = field.and_then(|field| field.trim().parse().ok());
    bytes.with_context(|| format!("{path} has another shape: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mapped_counts_as_loaded() {
        let own = std::env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap().to_owned();
        let pid = rustix::process::getpid();
        let mut file = CodeFile { path: own, name };
        assert!(file.is_loaded(pid).unwrap());
        file.name.push_str(".other");
        assert!(!file.is_loaded(pid).unwrap());
        disk_bytes(pid).unwrap();
    }
}
