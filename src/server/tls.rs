//! PEM files to what a listener needs for TLS 1.2 and 1.3, HTTP/1.1 only.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use thiserror::Error;

use crate::config::TlsConfig;

/// Why TLS cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing or is no PEM file with what is wanted.
    #[error("{wanted} cannot be read from {}: {cause}", path.display())]
    File {
        /// Certificate or key.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not known.
    #[error("certificate and key cannot be used")]
    Rejected(#[from] rustls::Error),
}

/// Reads the certificate chain and its key.
///
/// # Errors
/// Both files must be readable PEM, and fit together.
pub fn load(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |wanted, path: &PathBuf| {
        let path = path.clone();
        move |cause| TlsError::File { wanted, path, cause }
    };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&config.certificate).and_then(Iterator::collect);
    let certificates = match certificates {
        Ok(certificates) if certificates.is_empty() => Err(pem::Error::NoItemsFound),
        other => other,
    };
    let certificates = certificates.map_err(failed("a certificate", &config.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(failed("a private key", &config.key))?;
    // Named, because rustls has no default where several providers are compiled in.
    let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
