//! TLS for outgoing connections: Postgres, Redis, nodes, venues, JWT issuers.
//!
//! rustls needs one crypto provider per process and does not choose one if two are compiled in. Code that may open the
//! first TLS connection calls [`install_provider`] first.
//!
//! Connections to nodes, venues, price documents and key sets trust the same certificate authorities, over `https://` and
//! `wss://` alike: all of them use [`client_config`]. Postgres and Redis have settings of their own for this.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_tungstenite::Connector;

/// The environment variable with the CA file of [`client_config`].
pub const CA_FILE_VARIABLE: &str = "SSL_CERT_FILE";
/// Largest CA file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Installs the process's crypto provider. Idempotent.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have installed the same provider meanwhile.
        CryptoProvider::install_default(aws_lc_rs::default_provider()).ok();
    }
}

/// The TLS configuration of HTTP and WebSocket clients. Trusts the system's certificate authorities, or those in the file
/// `SSL_CERT_FILE` and the directories `SSL_CERT_DIR` if either is set. Reads them on each call.
pub fn client_config() -> ClientConfig {
    install_provider();
    ClientConfig::builder()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

/// The TLS connector for a WebSocket URL; `None` if it needs no TLS.
pub fn connector(url: &str) -> Option<Connector> {
    let secure = url
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss:"));
    secure.then(|| Connector::Rustls(Arc::new(client_config())))
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read some of the system's certificate authorities");
    }
    roots.add_parsable_certificates(found.certs);
    // Fallback for a system without authorities, such as a minimal container image. Not used after a read error: a wrong
    // setting must not widen the trust.
    if roots.is_empty() && found.errors.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Reads and checks a PEM file with CA certificates; returns its text.
pub fn read_ca_file(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > MAX_BYTES {
        return Err(format!("it has {length} bytes, more than {MAX_BYTES}"));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| format!("it is not a PEM file: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it cannot be parsed: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate in PEM format (BEGIN CERTIFICATE)".to_owned()),
        false => Ok(text),
    }
}

/// Advice for a failed TLS handshake, if the error is a known one. `setting` is the setting for a CA file.
pub fn advice(error: &str, setting: &str) -> Option<String> {
    let advice = if error.contains("UnknownIssuer") || error.contains("BadSignature") {
        format!(
            "the server's certificate is not signed by an authority that is trusted here; set {setting} to the PEM file of the authority"
        )
    } else if is_other_name(error) {
        "the server's certificate is for another name; connect to one of its subject alternative names".to_owned()
    } else if error.contains("expired") || error.contains("Expired") {
        "the server's certificate has expired, or the clock of this machine is wrong".to_owned()
    } else if error.contains("InvalidContentType") {
        "the server does not speak TLS on this port; use its TLS port, or the URL without TLS"
            .to_owned()
    } else {
        return None;
    };
    Some(advice)
}

/// Whether a handshake failed because the peer's certificate is for another name.
pub fn is_other_name(error: &str) -> bool {
    error.contains("not valid for name") || error.contains("NotValidForName")
}

/// A connection error followed by [`advice`], if there is any.
pub fn with_advice(error: String, setting: &str) -> String {
    match advice(&error, setting) {
        Some(advice) => format!("{error}: {advice}"),
        None => error,
    }
}

/// An error with its sources: a TLS failure is a source of "error sending request".
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wss_urls_get_a_connector() {
        for (url, secure) in [
            ("wss://node.example", true),
            ("WSS://node.example", true),
            ("ws://node.example", false),
            ("", false),
        ] {
            assert_eq!(connector(url).is_some(), secure, "{url}");
        }
    }

    #[test]
    fn rejects_file_without_certificates() {
        let dir = std::env::temp_dir().join(format!("chaincast-tls-{:x}", rand::random::<u64>()));
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("ca.pem");
        let error_of = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            read_ca_file(&file).unwrap_err()
        };
        assert!(error_of(b"").contains("no certificate"));
        assert!(error_of(b"-----BEGIN CERTIFICATE-----\nAAAA").contains("PEM"));
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error_of(garbage).contains("cannot be parsed"));
        assert!(read_ca_file(&dir.join("none.pem")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn reads_ca_file() {
        let file =
            std::env::temp_dir().join(format!("chaincast-ca-{:x}.pem", rand::random::<u64>()));
        let authority = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&file, authority.cert.pem()).unwrap();
        assert_eq!(
            read_ca_file(&file).unwrap(),
            authority.cert.pem().into_bytes()
        );
        std::fs::remove_file(&file).unwrap();
    }
}
