//! Audio from outside: every container decodes to the reference, however it is cut, and no byte does harm.
#![allow(clippy::unwrap_used)]

#[path = "audio/support.rs"]
mod support;

use std::io::Cursor;
use std::sync::mpsc::channel;
use std::time::Duration;

use decalage::audio::{AudioDecoder, AudioError, AudioReader, Encoding, Limits};
use proptest::prelude::*;
use support::*;

const CONTAINER: Encoding = Encoding::Container;

#[test]
fn every_clip_decodes_to_the_reference_pulled_and_pushed() {
    let reference = reference();
    for clip in CLIPS {
        let bytes = fixture(clip.name);
        let (pulled, error) = pull(&bytes);
        assert!(error.is_none(), "{}: {error:?}", clip.name);
        let longer = pulled.len().checked_sub(reference.len());
        assert!(longer.is_some_and(|longer| longer <= clip.longer), "{}: {} samples", clip.name, pulled.len());
        let correlation = correlation(&reference, &pulled, clip.shift);
        assert!(correlation >= clip.correlation, "{}: {correlation}", clip.name);

        let (pushed, error) = push(CONTAINER, &bytes, &[]);
        assert!(error.is_none(), "{}: {error:?}", clip.name);
        assert!(pushed == pulled, "{}: pushed and pulled differ", clip.name);
    }
}

#[test]
fn a_file_states_its_length() {
    // These do not know it.
    let endless = ["opus-live.webm", "aac-44k1.aac", "fragmented.m4a"];
    for clip in CLIPS.iter().filter(|clip| !endless.contains(&clip.name)) {
        let reader = AudioReader::open(Cursor::new(fixture(clip.name)), &Limits::default()).unwrap();
        let duration_ms = reader.duration_ms().unwrap_or(0);
        assert!((1_900..2_000).contains(&duration_ms), "{}: {duration_ms} ms", clip.name);
    }
}

#[test]
fn a_live_recording_comes_out_while_it_goes_in() {
    for name in ["opus-live.webm", "mono-16k.mp3", "fragmented.m4a", "reference.wav"] {
        let bytes = fixture(name);
        let mut decoder = AudioDecoder::new(CONTAINER, &Limits::default()).unwrap();
        decoder.push(&bytes[..bytes.len() * 3 / 4]).unwrap();
        let share = decoder.take().len() as f64 / reference().len() as f64;
        assert!((0.5..0.95).contains(&share), "{name}: {share} of the samples after 3/4 of the bytes");
    }
}

#[test]
fn single_bytes_decode_as_the_whole_does() {
    for name in ["opus-16k.ogg", "opus-live.webm", "mono-16k.mp3", "index-last.m4a", "mulaw-8k.wav"] {
        let bytes = fixture(name);
        let (samples, error) = push_pieces(CONTAINER, bytes.chunks(1), &Limits::default());
        assert!(error.is_none(), "{name}: {error:?}");
        assert!(samples == pull(&bytes).0, "{name}");
    }
}

#[test]
fn no_bytes_are_no_audio() {
    let (samples, error) = push(CONTAINER, &[], &[]);
    assert!(samples.is_empty() && error.is_none());
    assert!(matches!(pull(&[]), (samples, Some(AudioError::Empty)) if samples.is_empty()));
    let header_only = &fixture("reference.wav")[..44];
    let (samples, error) = pull(header_only);
    assert!(samples.is_empty() && matches!(error, Some(AudioError::Truncated { .. })), "{error:?}");
}

#[test]
fn raw_pcm_is_scaled_downmixed_and_resampled() {
    let bytes: Vec<u8> = [i16::MIN, 0, 16_384, -16_384, 8_192, 8_192].iter().flat_map(|s| s.to_le_bytes()).collect();
    let stereo = push(Encoding::Pcm16 { rate_hz: 16_000, channels: 2 }, &bytes, &[]);
    assert_eq!(stereo.0, [-0.5, 0.0, 0.25]);
    let bytes: Vec<u8> = [1.0f32, -0.25].iter().flat_map(|s| s.to_le_bytes()).collect();
    let mono = push(Encoding::F32 { rate_hz: 16_000, channels: 1 }, &bytes, &[]);
    assert_eq!(mono.0, [1.0, -0.25]);

    let wav = fixture("mono-8k.wav");
    let data = wav.windows(4).position(|four| four == b"data").unwrap() + 8;
    let raw = push(Encoding::Pcm16 { rate_hz: 8_000, channels: 1 }, &wav[data..], &[]);
    assert!(raw.0 == pull(&wav).0 && raw.1.is_none());
}

#[test]
fn wrong_declarations_and_samples_are_named() {
    let limits = Limits::default();
    for channels in [0, 3, u16::MAX] {
        let error = AudioDecoder::new(Encoding::Pcm16 { rate_hz: 16_000, channels }, &limits).unwrap_err();
        assert!(matches!(error, AudioError::Channels { allowed: 2, .. }), "{error:?}");
    }
    for rate_hz in [0, 4_000, u32::MAX] {
        let error = AudioDecoder::new(Encoding::F32 { rate_hz, channels: 1 }, &limits).unwrap_err();
        assert!(matches!(error, AudioError::Rate { .. }) && error.is_senders_fault(), "{error:?}");
    }
    // One of the two channels is enough, and the cause is the same for any split of the bytes.
    for (wrong, channels) in [(f32::NAN, 1), (f32::INFINITY, 1), (f32::NAN, 2), (f32::NEG_INFINITY, 2)] {
        let mut interleaved = vec![0.5; 8 * usize::from(channels)];
        interleaved[5 * usize::from(channels)] = wrong;
        let bytes: Vec<u8> = interleaved.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for size in 1..=bytes.len() {
            let encoding = Encoding::F32 { rate_hz: 16_000, channels };
            let (samples, error) = push_pieces(encoding, bytes.chunks(size), &limits);
            assert_eq!(samples, [0.5; 5], "{wrong} {size}");
            assert!(matches!(error, Some(AudioError::NotFinite { index: 5 })), "{wrong} {size}: {error:?}");
        }
    }
    let (samples, error) = push(Encoding::Pcm16 { rate_hz: 16_000, channels: 1 }, &[0, 64, 9], &[]);
    assert!(samples == [0.5] && matches!(error, Some(AudioError::Truncated { .. })), "{error:?}");
    let mut wav = fixture("reference.wav");
    wav[22..24].copy_from_slice(&200u16.to_le_bytes());
    let (_, error) = pull(&wav);
    assert!(error.is_some_and(|error| error.is_senders_fault()));
}

#[test]
fn a_cut_file_gives_what_is_there_and_says_so() {
    for name in [
        "reference.wav",
        "mono-44k1.flac",
        "opus-16k.ogg",
        "vorbis-44k1.ogg",
        "opus-stereo-48k.webm",
        "index-first.m4a",
    ] {
        let bytes = fixture(name);
        let whole = pull(&bytes).0;
        let half = &bytes[..bytes.len() / 2];
        for (way, (samples, error)) in [("pulled", pull(half)), ("pushed", push(CONTAINER, half, &[]))] {
            assert!(matches!(error, Some(AudioError::Truncated { .. })), "{name} {way}: {error:?}");
            assert!(samples.len() > whole.len() / 4, "{name} {way}: {} of {}", samples.len(), whole.len());
            // The resampler's tail is an answer to the silence that follows.
            let same = samples.len() - 200.min(samples.len());
            assert!(samples[..same] == whole[..same], "{name} {way}");
        }
    }
}

#[test]
fn what_follows_the_end_does_no_harm() {
    for name in ["reference.wav", "opus-16k.ogg", "index-first.m4a"] {
        let mut bytes = fixture(name);
        let clean = pull(&bytes).0;
        bytes.extend(std::iter::repeat_n(b"junk".as_slice(), 2_000).flatten());
        assert!(pull(&bytes).0 == clean, "{name} pulled");
        assert!(push(CONTAINER, &bytes, &[bytes.len() - 3_000]).0 == clean, "{name} pushed");
    }
}

#[test]
fn a_damaged_packet_costs_that_packet_and_is_reported() {
    let mut bytes = fixture("opus-live.webm");
    let clean = pull(&bytes).0;
    // A SimpleBlock is its id, its size, track 1, two bytes of time, flags and the packet.
    let is_block = |three: &[u8]| three[0] == 0xa3 && three[2] == 0x81;
    let packet = bytes.len() / 2 + bytes[bytes.len() / 2..].windows(3).position(is_block).unwrap() + 6;
    // A packet of no frames (RFC 6716 section 3.2.5).
    bytes[packet..packet + 2].copy_from_slice(&[0xff, 0]);
    for (samples, error) in [pull(&bytes), push(CONTAINER, &bytes, &[])] {
        assert!(matches!(error, Some(AudioError::Damaged { packets: 1, .. })), "{error:?}");
        assert_eq!(clean.len() - samples.len(), 320, "one packet of 20 ms");
    }
}

#[test]
fn a_skipped_frame_is_missed() {
    let mut bytes = fixture("mono-44k1.flac");
    let clean = pull(&bytes).0;
    // The checksum makes a whole FLAC frame, 104 ms of it, unreadable.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    for (samples, error) in [pull(&bytes), push(CONTAINER, &bytes, &[])] {
        assert!(matches!(error, Some(AudioError::Truncated { .. })), "{error:?}");
        assert!((1_600..3_400).contains(&(clean.len() - samples.len())), "{} samples", samples.len());
    }
}

#[test]
fn a_wav_from_a_pipe_may_end_anywhere() {
    let mut bytes = fixture("reference.wav");
    bytes[4..8].fill(0xff);
    bytes[40..44].fill(0xff);
    assert!(matches!(pull(&bytes), (samples, None) if samples == reference()));
    assert!(matches!(push(CONTAINER, &bytes, &[777]), (samples, None) if samples == reference()));
}

#[test]
fn one_ogg_after_another_is_one_stream() {
    let bytes = fixture("opus-16k.ogg");
    let once = pull(&bytes).0;
    let twice = [&bytes[..], &bytes[..]].concat();
    for (samples, error) in [pull(&twice), push(CONTAINER, &twice, &[])] {
        assert!(error.is_none(), "{error:?}");
        assert!(samples == [&once[..], &once[..]].concat());
    }
}

#[test]
fn limits_hold() {
    let bytes = fixture("mono-44k1.flac");
    let short = Limits { max_duration_ms: 500, ..Limits::default() };
    let (pulled, error) = pull_within(&bytes, &short);
    assert!(pulled.len() == 8_000 && matches!(error, Some(AudioError::TooLong { limit_ms: 500 })), "{error:?}");
    let (pushed, error) = push_pieces(CONTAINER, bytes.chunks(100), &short);
    assert!(pushed == pulled && matches!(error, Some(AudioError::TooLong { .. })), "{error:?}");

    let lazy = Limits { max_untaken_ms: 500, ..Limits::default() };
    let pcm = Encoding::Pcm16 { rate_hz: 16_000, channels: 1 };
    for (encoding, bytes) in [(CONTAINER, &bytes[..]), (pcm, &[0; 20_000])] {
        let (samples, error) = push_pieces(encoding, [bytes].into_iter(), &lazy);
        assert!(matches!(error, Some(AudioError::NotTaken { .. })), "{error:?}");
        assert!(samples.len() < 10_001, "{} samples kept", samples.len());
        let (samples, error) = push_pieces(encoding, bytes.chunks(500), &lazy);
        assert!(error.is_none() && samples.len() >= 10_000, "{error:?}");
    }

    let narrow = Limits { max_idle_bytes: 10_000, ..Limits::default() };
    let (samples, error) = push_pieces(CONTAINER, fixture("index-last.m4a").chunks(400), &narrow);
    assert!(samples.is_empty() && matches!(error, Some(AudioError::TooManyIdleBytes { .. })), "{error:?}");
    // An ID3 tag that claims 256 MB.
    let tag = [&b"ID3\x04\0\0\x7f\x7f\x7f\x7fPRIV\x7f\x7f\x7f\0\0\0"[..], &[0; 60_000]].concat();
    for (_, error) in [pull_within(&tag, &narrow), push_pieces(CONTAINER, tag.chunks(700), &narrow)] {
        assert!(matches!(error, Some(AudioError::TooManyIdleBytes { limit_bytes: 10_000 })), "{error:?}");
    }
}

#[test]
fn a_dropped_decoder_ends_its_thread() {
    let (done, dropped) = channel();
    std::thread::spawn(move || {
        for len in [0, 1, 100, 4_000] {
            let mut decoder = AudioDecoder::new(CONTAINER, &Limits::default()).unwrap();
            decoder.push(&fixture("opus-live.webm")[..len]).unwrap();
            // Dropping waits for the thread.
            drop(decoder);
        }
        done.send(()).unwrap();
    });
    dropped.recv_timeout(Duration::from_secs(20)).expect("a decoding thread does not end");
}

/// Everything that must hold for bytes of which nothing is known.
fn survives(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let limits = Limits { max_duration_ms: 20_000, ..Limits::default() };
    for (samples, _) in [pull_within(bytes, &limits), push(CONTAINER, bytes, cuts)] {
        prop_assert!(samples.iter().all(|sample| sample.is_finite()));
    }
    Ok(())
}

fn any_clip() -> impl Strategy<Value = Clip> {
    prop::sample::select(CLIPS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_samples(clip in any_clip(), cuts in prop::collection::vec(any::<usize>(), 0..40)) {
        let bytes = fixture(clip.name);
        let (samples, error) = push(CONTAINER, &bytes, &cuts);
        prop_assert!(error.is_none(), "{}: {:?}", clip.name, error);
        prop_assert!(samples == pull(&bytes).0, "{}", clip.name);
    }

    #[test]
    fn any_split_of_raw_pcm_gives_the_same_samples(
        bytes in prop::collection::vec(any::<u8>(), 0..4_000),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        rate_hz in prop::sample::select(vec![8_000u32, 16_000, 44_100, 48_000]),
        channels in 1u16..=2,
    ) {
        let encoding = Encoding::Pcm16 { rate_hz, channels };
        let (whole, whole_error) = push(encoding, &bytes, &[]);
        let (split, split_error) = push(encoding, &bytes, &cuts);
        prop_assert_eq!(whole, split);
        prop_assert_eq!(whole_error.map(|e| e.to_string()), split_error.map(|e| e.to_string()));
    }

    #[test]
    fn garbage_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..6_000), magic in 0usize..8) {
        let magic = [&b""[..], b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS\0\x02", b"\x1a\x45\xdf\xa3", b"ID3\x04", b"\xff\xfb\x90", b"\0\0\0\x18ftypM4A "][magic];
        survives(&[magic, &bytes].concat(), &[1_000])?;
    }

    #[test]
    fn truncation_does_no_harm(clip in any_clip(), len in any::<usize>()) {
        let bytes = fixture(clip.name);
        survives(&bytes[..len % bytes.len()], &[len / 2])?;
    }

    #[test]
    fn flipped_bits_do_no_harm(
        clip in any_clip(),
        flips in prop::collection::vec((any::<usize>(), 0u8..8), 1..30),
        in_header in any::<bool>(),
    ) {
        let mut bytes = fixture(clip.name);
        let reach = if in_header { 300 } else { bytes.len() };
        for (at, bit) in flips {
            bytes[at % reach] ^= 1 << bit;
        }
        survives(&bytes, &[reach / 3, reach])?;
    }
}
