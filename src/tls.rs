//! TLS to others: Postgres, Redis, nodes, venues, issuers of tokens.
//!
//! rustls needs one provider of cryptography a process and chooses none by itself where two are built in. Every part
//! that may be the first to open a TLS connection calls [`install_provider`] before.
//!
//! Promises that nodes, venues, price documents and key sets trust the same authorities, over `https://` and `wss://`
//! alike: [`client_config`] is theirs. Postgres and Redis name authorities in their own settings.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_tungstenite::Connector;

/// Where the authorities of [`client_config`] are named.
pub const AUTHORITIES: &str = "SSL_CERT_FILE";
/// Longest file of certificates that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Installs the process's provider of cryptography. It does no harm to call it again.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may be quicker; then that one's serves, which is the same.
        CryptoProvider::install_default(aws_lc_rs::default_provider()).ok();
    }
}

/// What an HTTP or WebSocket client trusts: the authorities of the system, or those in the file `SSL_CERT_FILE` and the
/// directories `SSL_CERT_DIR` where one of these is set. Reads them anew with each call.
pub fn client_config() -> ClientConfig {
    install_provider();
    ClientConfig::builder()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

/// What a WebSocket to this URL is opened with; `None` when it needs no TLS.
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
    // A system without authorities, such as a bare image. A setting that cannot be read does not widen the trust.
    if roots.is_empty() && found.errors.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The text of a PEM file with certificates of authorities, or what is wrong with it.
pub fn authorities(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes, more than {MOST_BYTES}"));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| format!("it is no PEM file: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it cannot be read: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate in PEM form (BEGIN CERTIFICATE)".to_owned()),
        false => Ok(text),
    }
}

/// What to do about a failed TLS handshake, when the error is about the peer's certificate. `setting` is where an
/// authority is named.
pub fn advice(error: &str, setting: &str) -> Option<String> {
    let advice = if error.contains("UnknownIssuer") || error.contains("BadSignature") {
        format!(
            "the server's certificate is not signed by an authority that is trusted here; name the PEM file of the right one in {setting}"
        )
    } else if is_other_name(error) {
        "the server's certificate is for another name; connect by a name or address that is among its subject alternative names".to_owned()
    } else if error.contains("expired") || error.contains("Expired") {
        "the server's certificate has expired, or this machine's clock is wrong".to_owned()
    } else if error.contains("InvalidContentType") {
        "the server does not speak TLS at this port: name its TLS port, or use the URL without TLS"
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

/// An error of a connection with [`advice`] behind it, where there is some.
pub fn advised(error: String, setting: &str) -> String {
    match advice(&error, setting) {
        Some(advice) => format!("{error}: {advice}"),
        None => error,
    }
}

/// An error with its causes: that of a failed handshake lies below "error sending request".
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
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
    fn refuses_a_file_without_certificates() {
        let dir = std::env::temp_dir().join(format!("chaincast-tls-{:x}", rand::random::<u64>()));
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("ca.pem");
        let refused = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            authorities(&file).unwrap_err()
        };
        assert!(refused(b"").contains("no certificate"));
        assert!(refused(b"-----BEGIN CERTIFICATE-----\nAAAA").contains("PEM"));
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refused(garbage).contains("cannot be read"));
        assert!(authorities(&dir.join("none.pem")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn reads_a_file_of_an_authority() {
        let file =
            std::env::temp_dir().join(format!("chaincast-ca-{:x}.pem", rand::random::<u64>()));
        let authority = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&file, authority.cert.pem()).unwrap();
        assert_eq!(
            authorities(&file).unwrap(),
            authority.cert.pem().into_bytes()
        );
        std::fs::remove_file(&file).unwrap();
    }
}
