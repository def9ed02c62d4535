//! A TCP port with TLS that forwards to a plain port of this machine.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub struct TlsProxy {
    port: u16,
    _accepting: AbortOnDropHandle<()>,
}

impl TlsProxy {
    /// Terminates TLS with this certificate and key, both as PEM, in front of a port of 127.0.0.1.
    pub async fn in_front_of(port: u16, (certificate, key): &(String, String)) -> Self {
        chaincast_base::tls::install_provider();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self {
            port: own,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// Rewrites a URL of the plain port to this port, with the scheme for TLS.
    pub fn url(&self, plain: &str) -> String {
        let (scheme, rest) = plain.split_once("://").unwrap();
        let (_, path) = rest.split_once('/').unwrap_or((rest, ""));
        format!("{scheme}s://127.0.0.1:{}/{path}", self.port)
    }
}
