//! A collector of our own, which a span of the process reaches. One test, because a process has one log.

use decalage::config::LogConfig;
use decalage::telemetry::init_logging;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_wait_reach_the_collector_when_the_log_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let collector = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        // The span's last event stands in the body behind the head.
        while !contains(&heard, "a word was said") {
            let count = socket.read(&mut piece).await.unwrap();
            assert_ne!(count, 0, "closed before the span came");
            heard.extend_from_slice(&piece[..count]);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        heard
    });
    let config = LogConfig { otlp_endpoint: Some(endpoint), ..LogConfig::default() };
    let log = init_logging(&config).unwrap();
    tracing::info_span!("stream", id = "sess_1").in_scope(|| tracing::info!("a word was said"));
    drop(log);
    let heard = collector.await.unwrap();
    for part in ["POST /v1/traces", "application/x-protobuf", "service.name", "decalage", "stream", "sess_1"] {
        assert!(contains(&heard, part), "{part} in {}", String::from_utf8_lossy(&heard));
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}
