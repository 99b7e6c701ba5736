//! The settings of the server as they are written: in flags and variables, or in a TOML file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::ConfigError;
use crate::spec::{self, DurationText, SizeText};

/// All settings, none of them required. In the file the keys are the names of the flags, with `_`.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address of the data plane, where requests for handlers come in [default: 127.0.0.1:8080]
    #[arg(long, env = "SAMOVAR_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Address of the admin API [default: 127.0.0.1:9090]
    ///
    /// An address that other machines can reach needs a token.
    #[arg(long, env = "SAMOVAR_ADMIN", value_name = "ADDR")]
    pub admin: Option<SocketAddr>,

    /// Folder for uploads, specs and compiled code [default: samovar-data]
    #[arg(long, env = "SAMOVAR_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// File with the token that clients of the admin API must send
    ///
    /// The variable SAMOVAR_ADMIN_TOKEN can hold the token itself instead.
    #[arg(long, env = "SAMOVAR_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// How long running requests may go on after a stop signal [default: 30s]
    #[arg(long, env = "SAMOVAR_DRAIN_TIMEOUT", value_name = "TIME")]
    pub drain_timeout: Option<DurationText>,

    /// Largest component that can be uploaded [default: 64MiB]
    #[arg(long, env = "SAMOVAR_MAX_COMPONENT_SIZE", value_name = "SIZE")]
    pub max_component_size: Option<SizeText>,

    /// Longest compilation of one component [default: 2m]
    #[arg(long, env = "SAMOVAR_COMPILE_TIMEOUT", value_name = "TIME")]
    pub compile_timeout: Option<DurationText>,

    /// Most memory that one compilation may use [default: 2GiB]
    #[arg(long, env = "SAMOVAR_COMPILE_MEMORY", value_name = "SIZE")]
    pub compile_memory: Option<SizeText>,

    /// Compiled code that is kept in memory although no replica runs it [default: 64MiB]
    ///
    /// What was not needed for longest goes first. Code that is gone is mapped from disk again when
    /// a replica starts.
    #[arg(long, env = "SAMOVAR_CODE_CACHE", value_name = "SIZE")]
    pub code_cache: Option<SizeText>,

    /// Most replicas on this machine, of all deployments together [default: 1000]
    #[arg(long, env = "SAMOVAR_SLOTS", value_name = "N")]
    pub slots: Option<u32>,

    /// Accelerators that processes can lease: `auto` asks the driver, `none`, a number, or a list
    /// of ids as in CUDA_VISIBLE_DEVICES [default: auto]
    #[arg(long, env = "SAMOVAR_DEVICES", value_name = "LIST")]
    pub devices: Option<String>,

    /// Whether deployments may run native processes, which can do what the server's user can
    /// [default: true]
    #[arg(long, env = "SAMOVAR_PROCESSES", value_name = "BOOL")]
    pub processes: Option<bool>,

    /// URL of the admin API as workers on other machines reach it [default: http:// and --admin]
    #[arg(long, env = "SAMOVAR_WORKERS_URL", value_name = "URL")]
    pub workers_url: Option<String>,

    /// How the log on stderr is written, text or json [default: text]
    #[arg(long, env = "SAMOVAR_LOG_FORMAT", value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// How the log on stderr is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

impl ServerSettings {
    /// Reads a TOML file. Relative paths in it start from the folder of the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not TOML, or has unknown keys or values of a wrong type.
    pub fn read(path: &Path) -> Result<ServerSettings, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut settings: ServerSettings = spec::read_toml(&text, "")
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        settings.data = settings.data.map(|data| folder.join(data));
        settings.admin_token_file = settings.admin_token_file.map(|file| folder.join(file));
        Ok(settings)
    }

    /// These settings, and where they say nothing, those of `lower`.
    pub fn or(self, lower: ServerSettings) -> ServerSettings {
        ServerSettings {
            listen: self.listen.or(lower.listen),
            admin: self.admin.or(lower.admin),
            data: self.data.or(lower.data),
            admin_token_file: self.admin_token_file.or(lower.admin_token_file),
            drain_timeout: self.drain_timeout.or(lower.drain_timeout),
            max_component_size: self.max_component_size.or(lower.max_component_size),
            compile_timeout: self.compile_timeout.or(lower.compile_timeout),
            compile_memory: self.compile_memory.or(lower.compile_memory),
            code_cache: self.code_cache.or(lower.code_cache),
            slots: self.slots.or(lower.slots),
            devices: self.devices.or(lower.devices),
            processes: self.processes.or(lower.processes),
            workers_url: self.workers_url.or(lower.workers_url),
            log_format: self.log_format.or(lower.log_format),
        }
    }
}
