//! Encrypted connections to other servers: whom they trust, and what is wrong where there is no trust.

use std::io;
use std::path::Path;
use std::sync::Arc;

use modelyard_serve::TlsFiles;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

/// Encrypts a fresh connection to `host:port`. The files are read for each connection, so that renewed
/// certificates are taken up.
///
/// # Errors
/// A certificate that is not to be trusted, a server without TLS, or files that cannot be used, in a sentence.
pub(super) async fn secured(
    stream: TcpStream,
    server: &str,
    files: Option<&TlsFiles>,
) -> Result<TlsStream<TcpStream>, String> {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no name of a server"))?;
    let files = files.cloned().unwrap_or_default();
    let config = tokio::task::spawn_blocking(move || config(&files)).await;
    let config = config.map_err(|_| "reading the certificates failed".to_owned())??;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|error| in_words(&error, &host))
}

fn config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let roots = match &files.ca {
        Some(file) => roots_of(certificates(file)?).map_err(|why| format!("{file}: {why}"))?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let own = PrivateKeyDer::from_pem_file(Path::new(key));
            let own = own.map_err(|error| format!("{key} holds no private key: {error}"))?;
            let paired = builder.with_client_auth_cert(certificates(certificate)?, own);
            paired.map_err(|error| format!("{certificate} and {key} do not go together: {error}"))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let unfit = |error| format!("{file} holds no certificates: {error}");
    let read = CertificateDer::pem_file_iter(Path::new(file)).map_err(unfit)?;
    let all: Vec<_> = read.collect::<Result<_, _>>().map_err(unfit)?;
    if all.is_empty() {
        return Err(format!("{file} holds no certificates"));
    }
    Ok(all)
}

fn roots_of(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate))?;
    Ok(roots)
}

/// Whom the operating system trusts; single certificates that cannot be read are passed over.
fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system trusts no certificates; name a file by tls = { ca = … }".to_owned());
    }
    Ok(roots)
}

/// What went wrong, with the way out.
fn in_words(error: &io::Error, host: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => untrusted(why, host),
        Some(rustls::Error::InvalidMessage(_)) => {
            "it answers without TLS; write its name without grpcs://, or put TLS before it".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refused the TLS connection ({alert:?}); it may want a client's certificate")
        }
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it hung up on the TLS connection; it may have none: then write its name without grpcs://"
                .to_owned()
        }
        _ => format!("there is no TLS connection to it: {error}"),
    }
}

fn untrusted(why: &CertificateError, host: &str) -> String {
    match why {
        // Two authorities may have one name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by nobody who is trusted here; name the CA's file by tls = { ca = … }"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {host}; ask it by a name that the certificate has ({why})")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({why})")
        }
        _ => format!("its certificate cannot be trusted ({why})"),
    }
}
