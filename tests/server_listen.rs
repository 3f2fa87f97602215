//! A listener from outside: real sockets on this machine, bad clients among them.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, WebSocketUpgrade, ws::Message},
    routing::get,
};
use decalage::{
    config::TlsConfig,
    server::{
        auth::SUBPROTOCOLS,
        listen::{self, Options},
        shutdown::Shutdown,
        tls,
    },
    telemetry::Metrics,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Long beside what anything here takes, short beside what a person waits.
const PATIENCE: Duration = Duration::from_secs(20);
const HEADER_TIMEOUT: Duration = Duration::from_millis(400);

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    shutdown: Shutdown,
    listener: JoinHandle<()>,
}

fn options() -> Options {
    Options {
        max_connections: 100,
        max_connections_per_ip: 100,
        header_timeout: HEADER_TIMEOUT,
        write_timeout: PATIENCE,
        tls: None,
    }
}

/// `/` says who asks; `/ws` holds a websocket, and says "bye" when the server stops.
async fn start(options: Options) -> Server {
    let (metrics, shutdown) = (Metrics::new(), Shutdown::new());
    let stopping = shutdown.clone();
    let websocket = move |upgrade: WebSocketUpgrade| async move {
        let token = stopping.hold();
        upgrade.protocols(SUBPROTOCOLS).on_upgrade(|mut socket| async move {
            socket.send(Message::text("hello")).await.unwrap();
            stopping.begun().await;
            socket.send(Message::text("bye")).await.unwrap();
            drop(token);
        })
    };
    let router = Router::new()
        .route("/", get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.to_string() }))
        .route("/ws", get(websocket));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = tokio::spawn(listen::serve(listener, router, options, metrics.clone(), shutdown.clone()));
    Server { address, metrics, shutdown, listener }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn websocket(&self) -> TcpStream {
        let mut stream = self.connect().await;
        let request = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-protocol: token, sk-a-secret-key\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(answer.contains("sec-websocket-protocol: token\r\n") && !answer.contains("secret"), "{answer}");
        stream
    }

    /// Waits until a line of the metrics is as expected.
    async fn metric(&self, line: &str) {
        let begin = Instant::now();
        while !self.metrics.encode().unwrap().lines().any(|l| l == line) {
            assert!(begin.elapsed() < PATIENCE, "{line} is not in\n{}", self.metrics.encode().unwrap());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("no answer");
        text.push(byte.unwrap_or_else(|_| panic!("closed after {:?}", String::from_utf8_lossy(&text))));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Everything until the server closes the connection.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let _reset_is_closed_as_well = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("not closed");
    String::from_utf8_lossy(&text).into_owned()
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    read_all(stream).await
}

#[tokio::test]
async fn handlers_know_the_client_and_bytes_are_counted() {
    let server = start(options()).await;
    let mut stream = server.connect().await;
    let client = stream.local_addr().unwrap().to_string();
    let answer = ask(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&client), "{answer}");
    server.metric("decalage_received_bytes_total 46").await;
    server.metric(&format!("decalage_sent_bytes_total {}", answer.len())).await;
    server.metric("decalage_connections 0").await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_cut_off() {
    let server = start(options()).await;
    // One that says nothing, one that stops, one that goes on and on.
    let mut silent = server.connect().await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x: y\r\n").await.is_ok() {
            sleep(HEADER_TIMEOUT / 10).await;
        }
    });
    for answer in [read_all(&mut silent).await, read_all(&mut stuck).await, read_all(&mut reader).await] {
        assert!(!answer.contains("200"), "{answer}");
    }
    timeout(PATIENCE, drip).await.unwrap().unwrap();
    server.metric("decalage_connections 0").await;
    assert!(ask(&mut server.connect().await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(options()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so_and_websockets_count() {
    let server = start(Options { max_connections: 2, ..options() }).await;
    let websockets = (server.websocket().await, server.websocket().await);
    // Long after the upgrade, when hyper has forgotten the connections.
    sleep(HEADER_TIMEOUT * 2).await;
    let answer = ask(&mut server.connect().await).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.contains(r#""code":"overloaded""#), "{answer}");
    server.metric("decalage_connections_rejected_total{reason=\"capacity\"} 1").await;
    server.metric("decalage_connections 2").await;

    drop(websockets);
    server.shutdown.begin(); // which is when this test's websockets look at their sockets
    server.metric("decalage_connections 0").await;
}

#[tokio::test]
async fn an_address_has_its_share_and_gets_it_back() {
    let server = start(Options { max_connections_per_ip: 1, ..options() }).await;
    let mut first = server.connect().await;
    server.metric("decalage_connections 1").await;
    let answer = ask(&mut server.connect().await).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 5\r\n"), "{answer}");
    server.metric("decalage_connections_rejected_total{reason=\"share\"} 1").await;
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    server.metric("decalage_connections 0").await;
    assert!(ask(&mut server.connect().await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn refusals_are_limited_as_well() {
    let server = start(Options { max_connections: 1, ..options() }).await;
    let mut first = server.websocket().await;
    let mut others = Vec::new();
    for _ in 0..80 {
        others.push(server.connect().await);
    }
    server.metric("decalage_connections_rejected_total{reason=\"capacity\"} 80").await;
    server.metric("decalage_connections 65").await;
    for mut stream in others {
        assert_eq!(read_all(&mut stream).await, "");
    }
    server.metric("decalage_connections 1").await;
    server.shutdown.begin();
    read_until(&mut first, "bye").await;
}

#[tokio::test]
async fn tls_is_spoken_and_a_handshake_has_a_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let loaded = tls::load(&TlsConfig { certificate: certificate.clone(), key: key.clone() }).unwrap();
    let server = start(Options { tls: Some(loaded), ..options() }).await;

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, server.connect().await).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));

    let mut silent = server.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
    let mut plain = server.connect().await;
    assert!(!ask(&mut plain).await.contains("HTTP"));
    server.metric("decalage_connections 0").await;

    let swapped = TlsConfig { certificate: key.clone(), key: certificate.clone() };
    assert!(tls::load(&swapped).unwrap_err().to_string().starts_with("a certificate cannot be read from"));
    let missing = TlsConfig { certificate, key: folder.path().join("none.pem") };
    assert!(tls::load(&missing).unwrap_err().to_string().starts_with("a private key cannot be read from"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_waits_for_websockets() {
    let server = start(options()).await;
    let mut websocket = server.websocket().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let client = idle.local_addr().unwrap().to_string();
    read_until(&mut idle, &client).await;

    let completed = tokio::spawn({
        let shutdown = server.shutdown.clone();
        async move { shutdown.complete(PATIENCE).await }
    });
    timeout(PATIENCE, server.listener).await.unwrap().unwrap();
    assert_eq!(read_all(&mut idle).await, "");
    read_until(&mut websocket, "bye").await;
    assert_eq!(completed.await.unwrap(), Ok(()));
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = start(Options { header_timeout: PATIENCE * 2, ..options() }).await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    server.metric("decalage_received_bytes_total 19").await;
    let held = server.shutdown.hold();
    assert!(server.shutdown.complete(HEADER_TIMEOUT).await.is_err());
    read_all(&mut stuck).await;
    drop(held);
    assert_eq!(server.shutdown.complete(PATIENCE).await, Ok(()));
    server.metric("decalage_connections 0").await;
}
