//! Clients that mean harm or are broken: each ends with a defined error, and nobody else notices.

use std::time::Duration;

use decalage::config::KeyHash;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use crate::client::*;
use crate::support::*;

/// A good client of the same server, before and after.
async fn assert_unharmed(server: &Server) {
    stream(server, &native(3), dialogue(), CHUNK_BYTES, CLOSE).await.assert_said(&said(3, dialogue()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_refused_by_name() {
    let server = start(config()).await;
    let limit = config().server.max_message_bytes;
    for (path, end) in both() {
        let most = stream(&server, &path, &vec![0; limit], limit, end).await;
        most.assert_said("");
        // Larger than all buffers on the way: the client is still writing when it is refused.
        for size in [limit + 1, 32 << 20] {
            let heard = converse(open(&server, &path).await, vec![binary(&vec![0; size])]).await;
            heard.assert_failed("message_too_large", 1009, "message_too_large");
        }
    }
    // In fragments, each of which would be allowed.
    let fragment = |opcode, last| Message::Frame(Frame::message(vec![0; limit / 2], OpCode::Data(opcode), last));
    let fragments = [Data::Binary, Data::Continue, Data::Continue].map(|opcode| fragment(opcode, false));
    let heard = converse(open(&server, &native(3)).await, fragments.into()).await;
    heard.assert_failed("message_too_large", 1009, "message_too_large");
    // Only the header: nothing is allocated for what it promises.
    let mut socket = open(&server, &native(3)).await;
    let header = [0x82, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    socket.get_mut().write_all(&header).await.unwrap();
    listen(&mut socket).await.assert_failed("message_too_large", 1009, "message_too_large");
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_websocket_any_more_is_closed_with_a_reason() {
    let server = start(config()).await;
    for (bytes, error, code) in [
        // A bit that is reserved (RFC 6455 §5.2), no mask (§5.1), an opcode that nobody knows, text that is not UTF-8.
        (&[0xf2, 0x80, 0, 0, 0, 0][..], "invalid_message", 1008),
        (&[0x82, 0x01, 0], "invalid_message", 1008),
        (&[0x83, 0x80, 0, 0, 0, 0], "invalid_message", 1008),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], "unsupported_data", 1003),
    ] {
        for (path, _) in both() {
            let mut socket = open(&server, &path).await;
            socket.get_mut().write_all(bytes).await.unwrap();
            listen(&mut socket).await.assert_failed(error, code, error);
        }
    }
    // The client does not take part any more: cut off in the middle of a frame.
    let mut socket = open(&server, &native(3)).await;
    socket.get_mut().write_all(&[0x82, 0xfe, 0xff]).await.unwrap();
    drop(socket);
    server.empty().await;
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_that_cannot_be_decoded_is_refused_by_name() {
    let server = start(config()).await;
    let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let not_numbers = f32::NAN.to_le_bytes().repeat(4000);
    let native_f32 = format!("/v1/realtime/translations?model={MODEL}&input_format=f32&rate=16000");
    let native_webm = format!("/v1/realtime/translations?model={MODEL}&input_format=webm");
    for (path, end, audio) in [
        (native_f32.as_str(), CLOSE, &not_numbers[..]),
        (&native_webm, CLOSE, &noise),
        (&native_webm, CLOSE, &noise[..100]),
    ] {
        let heard = stream(&server, path, audio, 1000, end).await;
        heard.assert_failed("undecodable_audio", 1003, "undecodable_audio");
    }
    for (path, audio) in [
        ("/v1/listen?encoding=linear32&sample_rate=16000", &not_numbers[..]),
        ("/v1/listen", &noise),
        ("/v1/listen", &noise[..100]),
    ] {
        let heard = stream(&server, path, audio, 1000, CLOSE_STREAM).await;
        heard.assert_failed("undecodable_audio", 1008, "DATA-0000");
    }
    // Raw 8-bit samples are refused before the upgrade; in a container they say what they are.
    for path in ["/v1/listen?encoding=mulaw&sample_rate=8000", &format!("{}&input_format=pcm8", native(3))] {
        assert_eq!(ask(&server, path, &[]).await.unwrap_err().status(), 400);
    }
    let eight_bits: Vec<u8> =
        dialogue().as_chunks().0.iter().map(|s| ((i16::from_le_bytes(*s) >> 8) + 128) as u8).collect();
    let file = wav(8, &eight_bits);
    let expected = text(&alone(decalage::policy::PolicyKind::WaitK { k: 3 }, file.clone()));
    assert!(!expected.is_empty());
    stream(&server, "/v1/listen", &file, 999, CLOSE_STREAM).await.assert_said(&expected);
    // Whole samples and a byte: what there is is translated.
    let odd = &dialogue()[..dialogue().len() - 1];
    stream(&server, &native(3), odd, 999, CLOSE).await.assert_said(&said(3, &odd[..odd.len() - 1]));
    assert_unharmed(&server).await;
}

/// A FLAC stream (RFC 9639) of frames without sound, 8.2 s each in some 16 bytes.
fn silent_flac(num_frames: u8) -> Vec<u8> {
    const BLOCK: u16 = 65_535;
    fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
        bytes.iter().fold(0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << (bits - 8), |crc, _| {
                let next = crc << 1;
                if next >> bits & 1 == 1 { next & ((1 << bits) - 1) ^ polynomial } else { next }
            })
        })
    }
    let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
    bytes.extend([BLOCK, BLOCK].map(u16::to_be_bytes).as_flattened());
    bytes.extend([0; 6]);
    bytes.extend((8000_u64 << 44 | 15 << 36).to_be_bytes());
    bytes.extend([0; 16]);
    for number in 0..num_frames {
        let mut frame = vec![0xff, 0xf8, 0x70, 0x08, number];
        frame.extend((BLOCK - 1).to_be_bytes());
        frame.push(crc(&frame, 8, 0x07) as u8);
        frame.extend([0; 3]); // a constant subframe and its value
        frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
        bytes.extend(frame);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_audio_in_few_bytes_and_what_cannot_be_streamed_are_refused() {
    let server = start(config()).await;
    let native_webm = format!("/v1/realtime/translations?model={MODEL}&input_format=webm");
    let silence = silent_flac(3);
    assert!(silence.len() < 1000, "one piece");
    stream(&server, "/v1/listen", &silence, silence.len(), CLOSE_STREAM).await.assert_said("");
    let index_last =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio/index-last.m4a")).unwrap();
    for (audio, named) in [(silent_flac(16), "more than 30000 ms"), (index_last, "index comes last")] {
        let heard = stream(&server, &native_webm, &audio, audio.len(), CLOSE).await;
        heard.assert_failed("undecodable_audio", 1003, "undecodable_audio");
        let message = heard.events.last().unwrap()["error"]["message"].as_str().unwrap();
        assert!(message.contains(named), "{message}");
        let heard = stream(&server, "/v1/listen", &audio, audio.len(), CLOSE_STREAM).await;
        heard.assert_failed("undecodable_audio", 1008, "DATA-0000");
    }
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_waited_for_only_with_a_key_and_not_for_ever() {
    const KEY: &str = "authorization: Bearer sk-a-key-of-this-test\r\n";
    let head = |more: &str| {
        let path = "/v1/realtime/translations/client_secrets";
        format!("POST {path} HTTP/1.0\r\ncontent-length: 100\r\n{more}\r\n{{").into_bytes()
    };
    let mut config = config();
    config.auth.keys = vec![KeyHash::of("sk-a-key-of-this-test")];
    config.server.idle_timeout_ms = 3_600_000;
    assert_eq!(start(config.clone()).await.http(&head("")).await.status, 401);

    config.server.idle_timeout_ms = 1000;
    let server = start(config).await;
    assert_eq!(server.http(&head(KEY)).await.status, 408);
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(&head(KEY)).await.unwrap();
    let drip = async {
        while writer.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let status = tokio::select! { answer = answer(&mut reader) => answer.status, () = drip => 0 };
    assert_eq!(status, 408);
    drop((reader, writer));
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_given_up() {
    let mut config = config();
    config.server.write_timeout_ms = 500;
    let server = start(config).await;
    let flood = |path: String| {
        let server = &server;
        async move {
            let mut socket = open(server, &path).await;
            // Every message is answered with a longer one, until no buffer takes more and the server gives up.
            let message = Message::text("x".repeat(900));
            while socket.send(message.clone()).await.is_ok() {}
        }
    };
    let floods = join_all(both().map(|(path, _)| flood(path)));
    let good = async {
        assert_unharmed(&server).await;
        server.metric("decalage_failures_total{kind=\"slow_reader\"} 2").await;
    };
    timeout(PATIENCE, async { tokio::join!(floods, good) }).await.expect("a client that never reads is served");
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_without_anybody_behind_it_is_closed() {
    let mut config = config();
    config.server.idle_timeout_ms = 1000;
    let server = start(config).await;
    // One that answers pings but says nothing stays, in the dialect that lets it.
    let mut quiet = open(&server, &native(3)).await;
    let silence = tokio::spawn(async move {
        let gone =
            timeout(Duration::from_millis(2500), async { while quiet.next().await.is_some_and(|m| m.is_ok()) {} });
        (gone.await.is_err(), quiet)
    });
    let mut deaf = Vec::new();
    for (path, _) in both() {
        let mut socket = open(&server, &path).await;
        send(&mut socket, speech(dialogue(), CHUNK_BYTES, "?")).await;
        deaf.push(socket);
    }
    server.metric("decalage_failures_total{kind=\"idle_timeout\"} 2").await;
    listen(&mut deaf[0]).await.assert_failed("idle_timeout", 4031, "idle_timeout");
    listen(&mut deaf[1]).await.assert_failed("idle_timeout", 1011, "NET-0001");
    let (stayed, quiet) = silence.await.unwrap();
    assert!(stayed, "a client that answers pings is there");
    converse(quiet, speech(dialogue(), CHUNK_BYTES, CLOSE)).await.assert_said(&said(3, dialogue()));
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_listened_to_is_not_idle() {
    let mut config = config();
    config.server.idle_timeout_ms = 1000;
    let server = start(config).await;
    // The first utterance cannot end, so that soon no more is read, be it audio or pongs.
    server.gate.shut();
    let dialects = both();
    let streams = dialects.each_ref().map(|(path, end)| stream(&server, path, dialogue(), CHUNK_BYTES, end));
    let open_gate = async {
        sleep(Duration::from_millis(2500)).await;
        server.gate.open();
    };
    let (streams, ()) = tokio::join!(join_all(streams), open_gate);
    streams.iter().for_each(|heard| heard.assert_said(&said(3, dialogue())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_hold_up_neither_text_nor_the_end_of_the_session() {
    let mut config = config();
    config.server.max_session_ms = 3000;
    let server = start(config).await;
    let path = native(3);
    let mut messages = Vec::new();
    for chunk in utterance().chunks(CHUNK_BYTES) {
        messages.extend((0..200).map(|_| Message::Ping(vec![0; 125].into())));
        messages.push(binary(chunk));
    }
    messages.push(Message::text(CLOSE));
    converse(open(&server, &path).await, messages).await.assert_said(&said(3, utterance()));

    let (mut sink, mut messages) = open(&server, &path).await.split();
    let flood = async { while sink.feed(Message::Ping(Default::default())).await.is_ok() {} };
    let (_, heard, ()) = tokio::join!(flood, listen(&mut messages), async {
        sleep(Duration::from_millis(200)).await;
        stream(&server, &path, utterance(), CHUNK_BYTES, CLOSE).await.assert_said(&said(3, utterance()));
    });
    heard.assert_failed("session_expired", 1001, "session_expired");
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_translator_ends_only_the_stream_that_caused_it() {
    let server = start(config()).await;
    let expected = said(3, dialogue());
    let streams = (0..9).map(|number| {
        let (server, expected) = (&server, &expected);
        async move {
            let (path, end) = &both()[number % 2];
            let audio = if [3, 4].contains(&number) { deadly() } else { dialogue().to_vec() };
            let heard = stream(server, path, &audio, CHUNK_BYTES, end).await;
            match number {
                4 => heard.assert_failed("internal_error", 1011, "internal_error"),
                3 => heard.assert_failed("internal_error", 1011, "NET-0000"),
                _ => heard.assert_said(expected),
            }
        }
    });
    join_all(streams).await;
    assert!(server.engine.is_healthy());
    server.empty().await;
}
