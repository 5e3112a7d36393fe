//! Steps on servers behind TLS: a real server, a terminator before it, and certificates made on the spot.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use modelyard_api::open_inference::GrpcServers;
use modelyard_serve::{RemoteServer, TlsFiles};
use modelyard_types::ErrorKind;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::support::{Running, Store, native};

/// Long enough for a loaded machine, and no test waits for it.
const WITHIN: Duration = Duration::from_secs(60);

/// Signs certificates, and is trusted by whoever has its file.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this name.
    fn sign(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    fn file(&self, folder: &TempDir, name: &str) -> String {
        write(folder, name, &self.certificate.pem())
    }
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("can write");
    path.to_str().expect("text").to_owned()
}

/// Takes TLS off what it passes on to a server.
struct Terminator {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Terminator {
    /// One whose certificate is for `localhost`, and who wants clients to have one of `clients`' where that is given.
    async fn start(authority: &Authority, clients: Option<&Authority>, to: SocketAddr) -> Self {
        let (certificate, key) = authority.sign("localhost");
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate.der().clone()).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who is not let in tells of it.
                    let Ok(mut inside) = acceptor.accept(stream).await else { return };
                    let mut server = TcpStream::connect(to).await.expect("the server listens");
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut server).await;
                });
            }
        });
        Self { port, task }
    }
}

async fn serve() -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 3, 1)).await;
    store.serve().await
}

fn trusting(ca: &str) -> TlsFiles {
    TlsFiles { ca: Some(ca.to_owned()), ..TlsFiles::default() }
}

/// What a server tells of the width that its model gives, or why it does not.
async fn ask(server: &str, tls: Option<&TlsFiles>) -> Result<usize, String> {
    let servers = GrpcServers::default();
    let told = servers.signature(RemoteServer { name: server, tls }, "m", None, WITHIN).await;
    let told = told.map_err(|failure| {
        assert_eq!(failure.kind, ErrorKind::Unavailable, "another server may do better: {}", failure.message);
        failure.message
    })?;
    Ok(told.outputs[0].shape.len())
}

#[tokio::test]
async fn a_server_behind_tls_is_asked_by_those_who_trust_it() {
    let running = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (Authority::new(), Authority::new());
    let (trusted, strange) = (own.file(&folder, "ca.pem"), other.file(&folder, "other.pem"));
    let terminator = Terminator::start(&own, None, running.address).await;
    let (by_name, by_number) =
        (format!("grpcs://localhost:{}", terminator.port), format!("grpcs://127.0.0.1:{}", terminator.port));
    assert_eq!(ask(&by_name, Some(&trusting(&trusted))).await, Ok(2));
    for (server, tls, want) in [
        (&by_name, trusting(&strange), "signed by nobody who is trusted here; name the CA's file"),
        (&by_number, trusting(&trusted), "its certificate is not for 127.0.0.1"),
        (&by_name, trusting("/nowhere/ca.pem"), "/nowhere/ca.pem holds no certificates"),
        (&by_name, trusting(&write(&folder, "empty.pem", "nothing")), "empty.pem holds no certificates"),
        (&format!("grpcs://{}", running.address), trusting(&trusted), "without grpcs://"),
        (&by_name.replace("grpcs://", ""), TlsFiles::default(), "write grpcs:// before its name"),
    ] {
        let told = ask(server, Some(&tls)).await.expect_err(want);
        assert!(told.contains(want), "{server}: {told}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_server_may_want_to_know_who_asks() {
    let running = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (own, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = clients.sign("front");
    let terminator = Terminator::start(&own, Some(&clients), running.address).await;
    let server = format!("grpcs://localhost:{}", terminator.port);
    let unknown = trusting(&own.file(&folder, "ca.pem"));
    ask(&server, Some(&unknown)).await.expect_err("who does not say is not let in");
    let known = TlsFiles {
        certificate: Some(write(&folder, "client.pem", &certificate.pem())),
        key: Some(write(&folder, "client-key.pem", &key.serialize_pem())),
        ..unknown
    };
    assert_eq!(ask(&server, Some(&known)).await, Ok(2));
    let mixed = TlsFiles { key: known.certificate.clone(), ..known };
    let told = ask(&server, Some(&mixed)).await.expect_err("no key");
    assert!(told.contains("client.pem holds no private key"), "{told}");
    running.stop().await;
}
