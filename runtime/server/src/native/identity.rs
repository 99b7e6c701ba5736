//! What workers prove and what is proven to them: tokens and the signing key.

use crate::spec::DeploymentName;
use anyhow::Context as _;
use samovar_workers::secret::Secret;
use samovar_workers::signer::Signer;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;

/// Characters of a token: 160 bits.
const TOKEN_CHARS: usize = 40;

/// Secrets that stay the same over restarts, each in a file only the server's user can read.
pub struct Identity {
    secret: String,
    key_file: std::path::PathBuf,
    signer: OnceLock<Result<Signer, String>>,
}

impl Identity {
    /// Reads the secret in `folder`, or makes it.
    ///
    /// # Errors
    ///
    /// When it can neither be read nor made.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("worker-secret");
        let secret = match fs::read_to_string(&file) {
            Ok(text) if text.trim().len() >= TOKEN_CHARS => text.trim().to_owned(),
            Ok(_) => anyhow::bail!("{} holds no secret; delete it", file.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = Secret::generate()?.reveal().to_owned();
                write_private(&file, &secret)?;
                secret
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let key_file = folder.join("worker-key.pem");
        Ok(Identity { secret, key_file, signer: OnceLock::new() })
    }

    /// The token with which workers join a deployment.
    pub fn join_token(&self, deployment: &DeploymentName) -> Secret {
        Secret::new(self.derived("join", deployment.as_str()))
    }

    /// What marks the processes of this server.
    pub fn marker(&self) -> String {
        self.derived("marker", "")
    }

    fn derived(&self, what: &str, name: &str) -> String {
        let digest = Sha256::digest(format!("{}\0{what}\0{name}", self.secret));
        let mut text = hex::encode(digest);
        text.truncate(TOKEN_CHARS);
        text
    }

    /// Signs requests for workers that want that. The key is made when it is first needed.
    ///
    /// # Errors
    ///
    /// When the key can neither be read nor made.
    pub fn signer(&self) -> Result<&Signer, String> {
        let made =
            self.signer.get_or_init(|| self.load_key().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(Clone::clone)
    }

    fn load_key(&self) -> anyhow::Result<Signer> {
        let file = &self.key_file;
        match fs::read_to_string(file) {
            Ok(pem) => {
                Signer::from_pem(&pem).with_context(|| format!("read the key {}", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let signer = Signer::generate().context("make a signing key")?;
                write_private(file, &signer.to_pem())?;
                Ok(signer)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }
}

/// Writes a file that only this user can read, whole or not at all.
fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let partial = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut out = options.open(&partial).with_context(|| format!("make {}", partial.display()))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&partial, file).with_context(|| format!("make {}", file.display()))
}
