//! The evaluation tools' port with clients that are good, silent or gone.

use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;

use super::*;
use crate::config::Config;
use crate::server::tests::{PATIENCE, app};

const BEGINNING: &str = r#"{"content":[0,0,0,0],"sample_rate":16000,"finished":false}"#;
const END: &str = r#"{"content":[0,0,0,0],"sample_rate":16000,"finished":true}"#;

fn impatient(idle_timeout_ms: u64) -> App {
    let mut config = Config::default();
    config.server.idle_timeout_ms = idle_timeout_ms;
    app(config)
}

async fn ask(router: &Router, method: &str, path: &str, body: Body) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(to_bytes(response.into_body(), 1 << 16).await.unwrap().to_vec()).unwrap())
}

async fn until_empty(app: &App) {
    let empty = async {
        while !app.metrics().encode().unwrap().contains("decalage_sessions 0\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, empty).await.expect("the place is kept");
}

#[tokio::test]
async fn a_sentence_has_a_place_only_while_something_may_come_of_it() {
    let app = app(Config::default());
    let router = router(app.clone(), None, Duration::ZERO);
    for (last, status) in [(END, 200), ("{", 400), (r#"{"content":[0],"sample_rate":8000,"finished":true}"#, 400)] {
        assert_eq!(ask(&router, "POST", "/reset", Body::empty()).await.0, 200);
        assert_eq!(ask(&router, "PUT", "/input", BEGINNING.into()).await.0, 200);
        assert_eq!(ask(&router, "GET", "/output", Body::empty()).await.0, 200);
        assert!(app.metrics().encode().unwrap().contains("decalage_sessions 1\n"));
        assert_eq!(ask(&router, "PUT", "/input", last.into()).await.0, status, "{last}");
        assert_eq!(ask(&router, "GET", "/output", Body::empty()).await.0, status, "{last}");
        until_empty(&app).await;
    }
    assert!(app.metrics().encode().unwrap().contains("decalage_failures_total{kind=\"invalid_message\"} 2\n"));
}

#[tokio::test]
async fn a_client_that_went_away_keeps_no_place() {
    let app = impatient(200);
    let router = router(app.clone(), None, Duration::ZERO);
    assert_eq!(ask(&router, "PUT", "/input", BEGINNING.into()).await.0, 200);
    until_empty(&app).await;
    let (status, error) = ask(&router, "GET", "/output", Body::empty()).await;
    assert_eq!((status, error.as_str()), (400, "the stream has failed: nothing was asked for too long"));
    assert!(app.metrics().encode().unwrap().contains("decalage_failures_total{kind=\"idle_timeout\"} 1\n"));
}

#[tokio::test]
async fn an_input_that_does_not_come_is_not_waited_for() {
    let router = router(impatient(200), None, Duration::ZERO);
    let body = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
    assert_eq!(timeout(PATIENCE, ask(&router, "PUT", "/input", body)).await.unwrap().0, 408);
}

/// What simulstream's server says to these messages: its last message, and the close frame's code.
async fn converse(app: App, messages: Vec<Message>, then: impl FnOnce()) -> (Option<String>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, router(app, None, Duration::ZERO)).into_future());
    let (mut socket, _) = timeout(PATIENCE, connect_async(uri)).await.unwrap().unwrap();
    for message in messages {
        socket.send(message).await.unwrap();
    }
    then();
    let mut last = None;
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => last = Some(text.to_string()),
            Some(Ok(Message::Close(frame))) => {
                serving.abort();
                return (last, frame.unwrap().code.into());
            }
            Some(Ok(_)) => {}
            end => panic!("no close frame: {end:?}"),
        }
    }
}

#[tokio::test]
async fn simulstream_s_clients_are_told_why_they_are_closed() {
    let messages = vec![
        Message::Ping("hello".into()),
        Message::text(r#"{"sample_rate":16000}"#),
        Message::binary(vec![0; 320]),
        Message::text(r#"{"end_of_stream":true}"#),
    ];
    let over = Some(r#"{"end_of_processing":true}"#.to_owned());
    assert_eq!(converse(app(Config::default()), messages, || ()).await, (over, 1000));
    assert_eq!(converse(impatient(200), Vec::new(), || ()).await, (None, 4031));

    // It has said nothing yet, and the server does not wait for it.
    let app = app(Config::default());
    let shutdown = app.shutdown().clone();
    assert_eq!(converse(app.clone(), Vec::new(), || shutdown.begin()).await, (None, 1001));
    assert_eq!(app.shutdown().complete(PATIENCE).await, Ok(()));
}
