//! A bound socket to connections of a router. Invariant: a connection counts from its acceptance until its socket is
//! closed, also after it became a websocket, and every wait for a client has a deadline.
//!
//! In place of `axum::serve`, which has no deadline for headers, no limit of connections and no TLS.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, header},
    response::IntoResponse,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::io::{InspectReader, InspectWriter};
use tower::Service;

use super::{
    error::{ApiError, RETRY_AFTER_S},
    shutdown::Shutdown,
    slots::{Slot, Slots},
    socket::ClientSocket,
};
use crate::telemetry::{Active, Metrics, Rejection};

/// Connections that are told why they are refused, at a time; more are closed without a word.
const MAX_REFUSALS: usize = 64;
/// After a failure that is not the connection's own, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Limits of a listener.
#[derive(Debug, Clone)]
pub struct Options {
    /// Open sockets.
    pub max_connections: usize,
    /// Open sockets of one address; of IPv6, of one /64 network.
    pub max_connections_per_ip: usize,
    /// From an idle connection to the end of the next request's headers; for the TLS handshake as well.
    pub header_timeout: Duration,
    /// For the client to take some of what it is sent. A handler's own deadline of this length comes first: the socket
    /// waits twice as long.
    pub write_timeout: Duration,
    /// What [`super::tls::load`] gave; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Serves HTTP/1.1 until `shutdown` begins; the connections that are left then end by themselves, which
/// [`Shutdown::complete`] waits for. Handlers find the client in `ConnectInfo<SocketAddr>`.
///
/// Over a limit, a connection's first request is answered with 503 or, of one address, 429.
pub async fn serve(listener: TcpListener, router: Router, options: Options, metrics: Metrics, shutdown: Shutdown) {
    let gate = Gate::new(router, &options);
    loop {
        let accepted = tokio::select! {
            () = shutdown.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let Some((router, permit)) = gate.admit(client.ip(), &metrics) else { continue };
        let connection = Connection { client, router, options: options.clone(), shutdown: shutdown.clone() };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY"); // a socket that is closed already; reading will say so
        }
        let held = Held { _permit: permit, _active: metrics.connection() };
        let stream = metered(ClientSocket::new(stream, held, options.write_timeout * 2), &metrics);
        let token = shutdown.hold();
        tokio::spawn(async move {
            connection.run(stream).await;
            drop(token);
        });
    }
}

/// Who may connect, and what those see who may not.
struct Gate {
    router: Router,
    all: Arc<Semaphore>,
    by_network: Slots<IpAddr>,
    refusals: Arc<Semaphore>,
    no_room: Router,
    no_share: Router,
}

/// A place among the connections, or among the refusals.
enum Permit {
    Admitted { _place: OwnedSemaphorePermit, _share: Slot<IpAddr> },
    Refused { _place: OwnedSemaphorePermit },
}

impl Gate {
    fn new(router: Router, options: &Options) -> Self {
        let no_share = "too many connections from this address, close some";
        Self {
            router,
            all: Arc::new(Semaphore::new(options.max_connections)),
            by_network: Slots::new(options.max_connections_per_ip),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            no_room: refusing(&ApiError::unavailable("no connection is free", RETRY_AFTER_S)),
            no_share: refusing(&ApiError::too_many(no_share, RETRY_AFTER_S)),
        }
    }

    /// What serves the connection and what it holds meanwhile; `None` to close it.
    fn admit(&self, ip: IpAddr, metrics: &Metrics) -> Option<(Router, Permit)> {
        let share = self.by_network.acquire(network(ip));
        let place = Arc::clone(&self.all).try_acquire_owned().ok();
        let (router, reason) = match (share, place) {
            (Some(share), Some(place)) => {
                return Some((self.router.clone(), Permit::Admitted { _place: place, _share: share }));
            }
            (None, _) => (&self.no_share, Rejection::Share),
            (_, None) => (&self.no_room, Rejection::Capacity),
        };
        metrics.connection_rejected(reason);
        let place = Arc::clone(&self.refusals).try_acquire_owned().ok()?;
        Some((router.clone(), Permit::Refused { _place: place }))
    }
}

/// Answers whatever is asked, once.
fn refusing(error: &ApiError) -> Router {
    let error = error.clone();
    Router::new().fallback(move || async move {
        let mut response = error.into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// What one client can have many addresses of.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// Lives as long as the socket, which hyper hands on when a connection becomes a websocket.
struct Held {
    _permit: Permit,
    _active: Active,
}

/// Counts bytes as they are on the wire.
fn metered(stream: ClientSocket<Held>, metrics: &Metrics) -> impl AsyncRead + AsyncWrite + Unpin + Send + use<> {
    let (received, sent) = (metrics.received_bytes.clone(), metrics.sent_bytes.clone());
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        received.inc_by(bytes.len() as u64);
    });
    InspectWriter::new(stream, move |bytes: &[u8]| {
        sent.inc_by(bytes.len() as u64);
    })
}

struct Connection {
    client: SocketAddr,
    router: Router,
    options: Options,
    shutdown: Shutdown,
}

impl Connection {
    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Some(tls) = self.options.tls.clone() else { return self.serve(stream).await };
        match timeout(self.options.header_timeout, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(client = %self.client, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(client = %self.client, "TLS handshake took too long"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { client, router, options, shutdown } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(client));
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            () = shutdown.begun() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    done = connection => done,
                    () = shutdown.overdue() => Ok(()),
                }
            }
        };
        if let Err(error) = done {
            tracing::debug!(%client, %error, "connection failed");
        }
    }
}

/// The client was gone before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
