//! `decalage serve` as a process: what it refuses to start with, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::{Run, Scratch, decalage, program};

const PATIENCE: Duration = Duration::from_secs(120);

/// A server that does not outlive its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check(scratch: &Scratch, config: &str) -> Run {
    let config = scratch.file("decalage.toml", config.as_bytes());
    let bundle = scratch.bundle().to_str().unwrap().to_owned();
    decalage(&["serve", "--check-config", "--config", &config, "--bundle", &bundle])
}

#[test]
fn a_config_is_valid_only_if_a_server_can_start_with_it() {
    let scratch = Scratch::new("check-config");
    let good = check(&scratch, "");
    assert_eq!(good.code, 0, "{}", good.stderr);
    let tls = format!("[server.tls]\ncertificate = {0:?}\nkey = {0:?}\n", scratch.path("none.pem"));
    let folder = format!("[server]\nupload_folder = {:?}\n", scratch.path("none"));
    for (config, named) in [
        (tls.as_str(), "a certificate cannot be read from"),
        (&folder, "server.upload_folder takes no file: "),
        ("[server]\nmax_conections = 1\n", "max_conections"),
    ] {
        let run = check(&scratch, config);
        assert_ne!(run.code, 0, "{config}");
        assert!(run.stderr.contains(named), "{config}: {}", run.stderr);
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_says_so_and_ends_well() {
    let scratch = Scratch::new("serve");
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--bundle"]).arg(scratch.bundle());
    command.env("DECALAGE_MODEL__WORKERS", "1").stderr(Stdio::piped());
    let mut server = Server(command.spawn().unwrap());
    let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let address = log.by_ref().find_map(|line| Some(line.unwrap().split_once("listening on http://")?.1.to_owned()));
    let address = address.expect("the server does not start");
    let log = std::thread::spawn(move || log.map_while(Result::ok).collect::<Vec<_>>());

    let url = format!("ws://{address}/v1/realtime/translations?model=bundle&ext=go_away");
    let (mut socket, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
    let created = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(created.to_text().unwrap().contains("session.created"), "{created}");
    assert!(Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap().success());

    let (mut notice, mut close) = (Value::Null, None);
    while let Some(Ok(message)) = timeout(PATIENCE, socket.next()).await.unwrap() {
        match message {
            Message::Text(text) => notice = serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => close = frame.map(|frame| u16::from(frame.code)),
            _ => {}
        }
    }
    assert_eq!((&notice["type"], close), (&"session.go_away".into(), Some(1001)), "{notice}");
    // The default, less what has passed.
    assert!((1..=20_000).contains(&notice["time_left_ms"].as_u64().unwrap()), "{notice}");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = server.0.try_wait().unwrap() {
            break status;
        }
        assert!(begin.elapsed() < PATIENCE, "the server does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0), "{:#?}", log.join().unwrap());
}
