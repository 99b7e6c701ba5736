//! Whom to trust, and the connections that follow from it.

use crate::settings::SettingsError;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// The system's certificate authorities, read once per process: from the files that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else from where the system has them.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// TLS for the connections of one deployment. The system's authorities are read with the first
/// connection that needs them.
pub(crate) struct Tls {
    private: Vec<CertificateDer<'static>>,
    connector: Mutex<Option<TlsConnector>>,
}

impl Tls {
    /// Trusts the system and the authorities in these PEM files.
    pub(crate) fn new(ca_files: &[Vec<u8>]) -> Result<Tls, SettingsError> {
        let mut private = Vec::new();
        for (index, pem) in ca_files.iter().enumerate() {
            let found = authorities(pem)
                .map_err(|reason| SettingsError::Authority { number: index + 1, reason })?;
            private.extend(found);
        }
        Ok(Tls { private, connector: Mutex::new(None) })
    }

    /// What connects with TLS. The error says why nobody can be trusted.
    pub(crate) async fn connector(&self) -> Result<TlsConnector, String> {
        if let Some(connector) = &*self.connector.lock() {
            return Ok(connector.clone());
        }
        let system = match SYSTEM.get() {
            Some(system) => Arc::clone(system),
            // Hundreds of files may have to be read.
            None => tokio::task::spawn_blocking(|| Arc::clone(SYSTEM.get_or_init(system_roots)))
                .await
                .map_err(|error| format!("read the system's certificates: {error}"))?,
        };
        let connector = connector(&system, &self.private)?;
        // Two may come here at once. The one that stays is the one whose sessions are resumed.
        Ok(self.connector.lock().get_or_insert(connector).clone())
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        RootCertStore::empty().add(certificate.clone()).map_err(|error| error.to_string())?;
        found.push(certificate);
    }
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

/// What cannot be read or is no certificate is left out, as other programs do.
fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

fn connector(
    system: &Arc<RootCertStore>,
    private: &[CertificateDer<'static>],
) -> Result<TlsConnector, String> {
    let roots = if private.is_empty() {
        Arc::clone(system)
    } else {
        let mut roots = RootCertStore::clone(system);
        roots.add_parsable_certificates(private.iter().cloned());
        Arc::new(roots)
    };
    if roots.is_empty() {
        let reason = "this system has no certificates to check https with; install its \
                      ca-certificates or name a file with them";
        return Err(reason.to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
