//! Whole sessions with the scripted translator.

use std::{f32::consts::TAU, sync::OnceLock};

use proptest::prelude::*;

use super::{
    event::Committed,
    scripted::{Failure, ScriptedState, ScriptedTranslator, scripted_assets},
    snapshot::SnapshotError,
    translator::{Encoded, SourceInput, Translator, TranslatorError},
    *,
};
use crate::policy::PolicyKind;

const RATE_HZ: usize = 16_000;

/// The sum of what a test says, in order: `(voiced, milliseconds)`. The voice is a buzz that glides like a voice does.
pub(crate) fn audio(parts: &[(bool, usize)]) -> Vec<f32> {
    let (mut samples, mut phase) = (Vec::new(), 0.0_f32);
    for &(voiced, ms) in parts {
        for i in 0..ms * RATE_HZ / 1000 {
            let t = i as f32 / RATE_HZ as f32;
            phase = (phase + TAU * (140.0 + 40.0 * (TAU * 0.7 * t).sin()) / RATE_HZ as f32) % TAU;
            let buzz: f32 = (1..20).map(|h| (phase * h as f32).sin() / (1.0 + (h as f32 - 5.0).abs())).sum();
            samples.push(if voiced { 0.05 * buzz * (1.2 + (TAU * 4.0 * t).sin()) } else { 0.0 });
        }
    }
    samples
}

/// Two utterances, the first with a short pause, in 7.3 s.
pub(crate) fn dialogue() -> &'static [f32] {
    static DIALOGUE: OnceLock<Vec<f32>> = OnceLock::new();
    DIALOGUE.get_or_init(|| {
        audio(&[(false, 400), (true, 1500), (false, 450), (true, 1300), (false, 1200), (true, 2000), (false, 450)])
    })
}

pub(crate) fn assets() -> Arc<SessionAssets> {
    static ASSETS: OnceLock<Arc<SessionAssets>> = OnceLock::new();
    ASSETS.get_or_init(|| Arc::new(scripted_assets().unwrap())).clone()
}

pub(super) fn translator() -> ScriptedTranslator {
    ScriptedTranslator::new(&assets())
}

pub(super) fn session(policy: PolicyKind) -> Session<ScriptedState> {
    Session::new(SessionConfig { policy, ..SessionConfig::default() }, assets()).unwrap()
}

pub(super) fn wait_k(k: usize) -> Session<ScriptedState> {
    session(PolicyKind::WaitK { k })
}

/// As if every step were a blank.
fn deafen(log_probs: &mut [f32]) {
    for row in log_probs.chunks_mut(assets().source_tokenizer.vocab_size()) {
        row.fill(f32::NEG_INFINITY);
        row[assets().spec.blank as usize] = 0.0;
    }
}

pub(super) fn events<S: Clone>(session: &mut Session<S>) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// Everything that a session says about samples that come in chunks of these sizes, over and over.
pub(super) fn run(mut session: Session<ScriptedState>, samples: &[f32], chunk_sizes: &[usize]) -> Vec<Event> {
    let (translator, mut rest, mut said) = (translator(), samples, Vec::new());
    for &size in chunk_sizes.iter().cycle() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        session.accept_waveform(chunk).unwrap();
        rest = after;
        if rest.is_empty() {
            session.input_finished();
        }
        drive(&mut session, &translator).unwrap();
        said.extend(events(&mut session));
        if rest.is_empty() {
            break;
        }
    }
    assert!(session.is_finished());
    said
}

pub(super) fn words(events: &[Event]) -> Vec<Committed> {
    let word = |event: &Event| if let Event::Committed(word) = event { Some(word.clone()) } else { None };
    events.iter().filter_map(word).collect()
}

pub(super) fn utterances(events: &[Event]) -> Vec<(u64, u64, u64)> {
    let end = |event: &Event| match *event {
        Event::UtteranceEnd { utterance, start_ms, end_ms } => Some((utterance, start_ms, end_ms)),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

pub(super) fn policies() -> impl Strategy<Value = PolicyKind> {
    prop_oneof![(1_usize..9).prop_map(|k| PolicyKind::WaitK { k }), Just(PolicyKind::Offline { beam_size: 4 })]
}

/// 1 ms to 5 s, in samples, and now and then nothing.
fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![16_usize..80_000, 16_usize..2_000, Just(16), Just(0)], 1..20)
        .prop_map(|sizes| sizes.into_iter().chain([1000]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_chunking_says_the_same(policy in policies(), chunk_sizes in chunk_sizes()) {
        let whole = run(session(policy), dialogue(), &[dialogue().len()]);
        prop_assert!(words(&whole).len() > 5);
        prop_assert_eq!(run(session(policy), dialogue(), &chunk_sizes), whole);
    }

    #[test]
    fn words_and_times_are_in_order(policy in policies()) {
        let said = run(session(policy), dialogue(), &[1600]);
        let (words, utterances) = (words(&said), utterances(&said));
        prop_assert!((0..).zip(&words).all(|(seq, word)| word.seq == seq));
        prop_assert!((0..).zip(&words).all(|(seq, word): (u64, _)| word.text.starts_with(' ') == (seq > 0)));
        prop_assert!(words.is_sorted_by_key(|word| (word.utterance, word.start_ms)));
        prop_assert!(words.is_sorted_by_key(|word| word.source_ms));
        for word in &words {
            let (_, start_ms, end_ms) = utterances[word.utterance as usize];
            prop_assert!(start_ms <= word.start_ms && word.start_ms <= word.end_ms && word.end_ms <= end_ms);
            prop_assert!(word.end_ms <= word.source_ms && word.source_ms <= 7300);
        }
        prop_assert_eq!(said.last(), Some(&Event::Finished));
    }

}

/// The policy as `model.md` says it and nothing else: every step that tells whether a word goes on is taken back.
fn reference(k: usize, segments: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let (translator, tokenizer) = (translator(), &assets().target_tokenizer);
    let step = |state: &ScriptedState, token, allowed| {
        let job = DecodeJob { state: state.clone(), token, allowed };
        let Some(Ok(decoded)) = translator.decode(vec![job]).pop() else { panic!("the step failed") };
        (decoded.state, decoded.token)
    };
    let (mut state, mut words): (_, Vec<Vec<u32>>) = (None, Vec::new());
    for (read, frames) in (1..).zip(segments) {
        let job = EncodeJob { state, source: SourceInput::Frames(frames.clone()), reach_steps: None };
        let Some(Ok(Encoded { state: mut now, .. })) = translator.encode(vec![job]).pop() else {
            panic!("no encoding")
        };
        let ended = read == segments.len();
        while ended || read >= k + words.len() {
            let last = words.last().and_then(|word| word.last()).copied();
            let (next, token) = step(&now, last, Allowed { continuation: false, ..Allowed::ALL });
            // The end is believed only when there is no more to hear.
            let Some(mut piece) = token else { break };
            now = next;
            let mut word = vec![piece];
            loop {
                let (next, token) = step(&now, Some(piece), Allowed::ALL);
                match token.filter(|&token| !tokenizer.begins_word(token)) {
                    Some(token) => (now, piece) = (next, token),
                    None => break,
                }
                word.push(piece);
            }
            words.push(word);
        }
        state = Some(now);
    }
    words
}

#[test]
fn wait_k_is_what_the_model_was_trained_for() {
    let samples = audio(&[(true, 5000)]);
    // The scripted search says what steps would say, so no beam makes a difference.
    for (k, tail_beam_size, word_beam_size, lookahead_tokens) in
        [(1, 1, 1, 1), (1, 1, 2, 3), (2, 5, 4, 1), (3, 1, 2, 2), (3, 5, 1, 3), (5, 1, 2, 9), (30, 5, 2, 3)]
    {
        // Everything is speech, so that segments are the clock.
        let policy = PolicyKind::WaitK { k };
        let beams = SessionConfig { tail_beam_size, word_beam_size, lookahead_tokens, ..SessionConfig::default() };
        let config = SessionConfig { policy, vad_threshold: 0.0, letters_per_word: 0, ..beams };
        let mut session = Session::new(config, assets()).unwrap();
        session.accept_waveform(&samples).unwrap();
        session.input_finished();
        let (mut segments, translator) = (Vec::new(), translator());
        while let Some(request) = session.next_request().unwrap() {
            if let Request::Encode(job) = &request {
                segments.push(job.source.frames().to_vec());
            }
            session.answer(request.serve(&translator)).unwrap();
        }
        let frames: Vec<usize> = segments.iter().map(|segment| segment.len() / 80).collect();
        assert_eq!(frames, [[32; 15].as_slice(), &[18]].concat(), "498 frames in segments of 32");
        let said = words(&events(&mut session));
        let reference = reference(k, &segments);
        assert!(reference.len() >= 15 && reference.iter().any(|word| word.len() > 2), "a poor test: {reference:?}");
        let expected: Vec<u32> = reference.concat();
        let text: String = said.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(text, assets().target_tokenizer.decode(&expected), "k = {k}");
        for (word, index) in said.iter().zip(1_u64..) {
            let due_ms = (k as u64 + index - 1) * 320;
            assert!(word.source_ms >= due_ms.min(5000), "word {index} at {} ms came early", word.source_ms);
            assert!(word.source_ms <= due_ms + 40 || word.source_ms == 5000, "word {index} came late");
        }
    }
}

#[test]
fn what_is_not_heard_is_not_said() {
    let said = |policy, letters_per_word, min_letters_per_s, is_deaf: bool| {
        let config = SessionConfig { policy, letters_per_word, min_letters_per_s, ..SessionConfig::default() };
        let (mut session, translator) = (Session::new(config, assets()).unwrap(), translator());
        session.accept_waveform(dialogue()).unwrap();
        session.input_finished();
        while let Some(request) = session.next_request().unwrap() {
            let mut reply = request.serve(&translator);
            if let (Reply::Encoded(encoded), true) = (&mut reply, is_deaf) {
                deafen(&mut encoded.log_probs);
            }
            session.answer(reply).unwrap();
        }
        let events = events(&mut session);
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        let heard =
            events.iter().map(|event| if let Event::Transcript(heard) = event { letters(&heard.text) } else { 0 });
        (heard.sum::<usize>(), words(&events).len())
    };
    for policy in [PolicyKind::WaitK { k: 1 }, PolicyKind::Offline { beam_size: 2 }] {
        assert_eq!(said(policy, 2, 0.0, true), (0, 0));
        assert!(said(policy, 0, 2.0, true).1 < said(policy, 0, 0.0, true).1, "no more once it is told from speech");
        assert!(said(policy, 0, 0.0, true).1 > 10);
        let (letters, words) = said(policy, 9, 0.0, false);
        // Of two utterances, each rounded up.
        assert!(words > 2 && words <= letters / 9 + 2, "{words} words, {letters} letters");
        assert!(words < said(policy, 0, 0.0, false).1);
        assert_eq!(said(policy, 0, 2.0, false), said(policy, 0, 0.0, false));
    }
}

#[test]
fn pauses_cut_and_freeze() {
    let said = run(wait_k(1), dialogue(), &[1600]);
    let utterances = utterances(&said);
    assert_eq!(utterances.len(), 2, "{utterances:?}");
    let (_, start_ms, end_ms) = utterances[0];
    assert!((100..=400).contains(&start_ms), "pre-roll from {start_ms} ms");
    assert!((3650..=4250).contains(&end_ms), "trailing silence to {end_ms} ms");
    // The voice rests from 3650 to 4850 ms; that this ends the utterance is known 500 ms into the rest.
    let sources: Vec<u64> = words(&said).iter().map(|word| word.source_ms).collect();
    assert!(sources.iter().any(|ms| (4150..4400).contains(ms)), "{sources:?}");
    assert!(!sources.iter().any(|ms| (4050..4150).contains(ms) || (4400..4850).contains(ms)), "{sources:?}");
}

#[test]
fn a_voice_that_never_rests_rolls_over() {
    let said = run(wait_k(3), &audio(&[(true, 55_000)]), &[80_000]);
    let utterances = utterances(&said);
    assert!(utterances.len() >= 3, "{utterances:?}");
    for (before, after) in utterances.iter().zip(&utterances[1..]) {
        assert_eq!(before.2, after.1, "no audio is lost between utterances");
        assert!(before.2 - before.1 <= 78 * 320);
    }
    assert!(words(&said).iter().any(|word| word.utterance == 2));
}

#[test]
fn silence_costs_nothing() {
    let (mut session, translator, second) = (wait_k(1), translator(), vec![0.0; RATE_HZ]);
    let size = |session: &Session<ScriptedState>| session.to_bytes(&translator).unwrap().len();
    let mut sizes = Vec::new();
    for _ in 0..120 {
        session.accept_waveform(&second).unwrap();
        assert!(session.next_request().unwrap().is_none());
        assert_eq!(session.poll_event(), None);
        sizes.push(size(&session));
    }
    let most = sizes.iter().max().unwrap();
    assert!(sizes[..10].contains(most) || most - sizes[..10].iter().max().unwrap() < 16, "{sizes:?}");
    session.input_finished();
    drive(&mut session, &translator).unwrap();
    assert_eq!(events(&mut session), [Event::Finished]);
}

#[test]
fn a_session_may_live_in_a_task() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&wait_k(1));
}

#[test]
fn nothing_in_nothing_out() {
    for samples in [0, 1, 399, 400, 801] {
        assert_eq!(run(wait_k(1), &vec![0.0; samples], &[samples.max(1)]), [Event::Finished]);
    }
    let mut session = wait_k(1);
    session.input_finished();
    session.input_finished();
    assert_eq!(session.accept_waveform(&[0.0]), Err(SessionError::InputFinished));
    drive(&mut session, &translator()).unwrap();
    assert!(session.is_finished() && session.next_request().unwrap().is_none());
}

#[test]
fn a_failed_job_ends_the_session_with_its_error() {
    let cases = [
        (Failure::Encode(2), PolicyKind::WaitK { k: 1 }),
        (Failure::Decode(8), PolicyKind::WaitK { k: 1 }),
        (Failure::Search, PolicyKind::Offline { beam_size: 2 }),
    ];
    for (failure, policy) in cases {
        let translator = {
            let mut failing = translator();
            failing.failure = Some(failure);
            failing
        };
        let mut session = session(policy);
        session.accept_waveform(dialogue()).unwrap();
        let error = drive(&mut session, &translator).unwrap_err();
        assert!(matches!(&error, SessionError::Translator(TranslatorError::Backend(_))), "{failure:?}: {error}");
        let said = words(&events(&mut session)).len();
        assert_eq!(said > 0, policy == PolicyKind::WaitK { k: 1 }, "what was committed before stays");
        assert_eq!(session.accept_waveform(&[0.0]), Err(error.clone()));
        assert_eq!(session.next_request().unwrap_err(), error);
        assert_eq!(session.to_bytes(&translator), Err(SnapshotError::Session(error)));
    }
}

#[test]
fn replies_that_break_the_contract_are_refused() {
    let request = |session: &mut Session<ScriptedState>| {
        session.accept_waveform(dialogue()).unwrap();
        let Some(Request::Encode(job)) = session.next_request().unwrap() else { panic!("no segment") };
        job
    };
    let mut short = wait_k(1);
    let Reply::Encoded(encoded) = Request::Encode(request(&mut short)).serve(&translator()) else { panic!() };
    let reply = Reply::Encoded(Encoded { log_probs: vec![0.0; 7], ..encoded.clone() });
    assert!(matches!(short.answer(reply), Err(SessionError::InvalidReply(_))));

    let mut other = wait_k(1);
    request(&mut other);
    assert!(other.next_request().unwrap().is_none(), "an answer is awaited");
    assert_eq!(other.to_bytes(&translator()), Err(SnapshotError::InFlight));
    let reply = Reply::Decoded(translator::Decoded { state: encoded.state.clone(), token: None, log_prob: 0.0 });
    assert!(matches!(other.answer(reply), Err(SessionError::UnexpectedReply(_))));

    let greedy = SessionConfig { policy: PolicyKind::WaitK { k: 1 }, word_beam_size: 1, ..SessionConfig::default() };
    for token in [Some(1), Some(u32::MAX)] {
        let mut early = Session::new(greedy.clone(), assets()).unwrap();
        let job = request(&mut early);
        early.answer(Request::Encode(job).serve(&translator())).unwrap();
        let Some(Request::Decode(job)) = early.next_request().unwrap() else { panic!("no step") };
        assert_eq!((job.token, job.allowed.eos, job.allowed.continuation), (None, true, false));
        let reply = Reply::Decoded(translator::Decoded { state: job.state, token, log_prob: 0.0 });
        assert!(matches!(early.answer(reply), Err(SessionError::InvalidReply(_))), "{token:?}");
    }

    let inside =
        (0..).find(|&id| !assets().target_tokenizer.begins_word(id) && !assets().target_tokenizer.is_special(id));
    let start =
        (0..).find(|&id| assets().target_tokenizer.begins_word(id) && !assets().target_tokenizer.is_special(id));
    for tokens in [vec![1], vec![u32::MAX], vec![inside.unwrap()], vec![start.unwrap()]] {
        let mut ahead = wait_k(1);
        let job = request(&mut ahead);
        ahead.answer(Request::Encode(job).serve(&translator())).unwrap();
        let Some(Request::Search(job)) = ahead.next_request().unwrap() else { panic!("no search") };
        assert!(job.is_lookahead && job.max_tokens == 3);
        let answered = ahead.answer(Reply::Searched(translator::Searched {
            tokens: tokens.clone(),
            score: 0.0,
            states: Vec::new(),
        }));
        let refused = answered.and_then(|()| drive(&mut ahead, &translator()));
        assert!(matches!(refused, Err(SessionError::InvalidReply(_))), "{tokens:?}");
    }
}

#[test]
fn configurations_without_meaning_are_refused() {
    let refused = |config| Session::<ScriptedState>::new(config, assets()).unwrap_err().to_string();
    let policy = PolicyKind::WaitK { k: 0 };
    assert_eq!(refused(SessionConfig { policy, ..SessionConfig::default() }), "k is 0, allowed is 1 to 1000");
    let config = SessionConfig { vad_threshold: 1.5, ..SessionConfig::default() };
    assert_eq!(refused(config), "vad_threshold is 1.5, allowed is 0 to 1");
    let mut other = scripted_assets().unwrap();
    other.spec.num_mel_bins = 40;
    let error = Session::<ScriptedState>::new(SessionConfig::default(), Arc::new(other)).unwrap_err();
    assert_eq!(error.to_string(), "num_mel_bins is 80, allowed is 40");
}

#[test]
fn a_flush_ends_the_utterance_and_the_stream_goes_on() {
    let (translator, mut session, mut said) = (translator(), wait_k(3), Vec::new());
    let (before, after) = dialogue().split_at(RATE_HZ);
    session.accept_waveform(before).unwrap();
    drive(&mut session, &translator).unwrap();
    session.flush().unwrap();
    drive(&mut session, &translator).unwrap();
    said.extend(events(&mut session));
    assert_eq!(utterances(&said).len(), 1, "it was speaking");
    assert_eq!(said.last(), Some(&Event::Flushed));
    session.flush().unwrap();
    drive(&mut session, &translator).unwrap();
    assert_eq!(events(&mut session), [Event::Flushed], "nothing was left to end");
    session.accept_waveform(after).unwrap();
    session.input_finished();
    session.flush().unwrap();
    drive(&mut session, &translator).unwrap();
    said.extend(events(&mut session));
    assert_eq!(said[said.len() - 2..], [Event::Flushed, Event::Finished]);
    let starts = said.iter().filter(|event| matches!(event, Event::UtteranceStart { .. })).count();
    assert_eq!((utterances(&said).len(), starts), (3, 3));
}

#[test]
fn guesses_come_with_the_segments_and_change_no_committed_word() {
    let config = |tentative_tokens| SessionConfig { tentative_tokens, ..SessionConfig::default() };
    let guessing = || Session::new(config(5), assets()).unwrap();
    let whole = run(guessing(), dialogue(), &[dialogue().len()]);
    assert_eq!(run(guessing(), dialogue(), &[777]), whole);
    let (guesses, others): (Vec<_>, Vec<_>) = whole.into_iter().partition(|e| matches!(e, Event::Tentative(_)));
    assert!(guesses.len() > 10);
    let guessed = |event: &Event| matches!(event, Event::Tentative(guess) if !guess.text.is_empty());
    assert!(guesses.iter().any(guessed));
    assert_eq!(others, run(wait_k(3), dialogue(), &[dialogue().len()]));
}

/// A session that reads.
pub(super) fn reader(policy: PolicyKind) -> Session<ScriptedState> {
    let assets = SessionAssets { source: SourceAssets::Text, ..scripted_assets().unwrap() };
    Session::new(SessionConfig { policy, ..SessionConfig::for_text() }, Arc::new(assets)).unwrap()
}

/// Everything that a session says about text that comes in such pieces, with a snapshot in between where `resumes`.
fn read(policy: PolicyKind, pieces: &[&str], resumes: bool) -> Vec<Event> {
    let (translator, mut session, mut said) = (translator(), reader(policy), Vec::new());
    for piece in pieces {
        session.accept_text(piece).unwrap();
        drive(&mut session, &translator).unwrap();
        said.extend(events(&mut session));
        if resumes {
            let bytes = session.to_bytes(&translator).unwrap();
            session = Session::from_bytes(&bytes, Arc::clone(&session.assets), &translator).unwrap();
        }
    }
    session.input_finished();
    drive(&mut session, &translator).unwrap();
    said.extend(events(&mut session));
    assert!(session.is_finished());
    said
}

const TEXT: &str = "we would like to know what they are saying. is that so? while they say it, still";

#[test]
fn text_in_any_pieces_says_the_same_and_may_be_resumed() {
    for policy in [PolicyKind::WaitK { k: 2 }, PolicyKind::Offline { beam_size: 3 }] {
        let whole = read(policy, &[TEXT], false);
        assert_eq!(utterances(&whole), [(0, 0, 9), (1, 9, 12), (2, 12, 17)], "words count as milliseconds");
        assert!(words(&whole).len() > 5);
        let pieces: Vec<&str> = TEXT.split_inclusive(['e', ' ']).collect();
        assert_eq!(read(policy, &pieces, false), whole);
        assert_eq!(read(policy, &pieces, true), whole);
    }
}

#[test]
fn wait_k_counts_words_of_text() {
    let said = words(&read(PolicyKind::WaitK { k: 3 }, &[TEXT], false));
    let first = |utterance| said.iter().filter(move |word| word.utterance == utterance);
    for (number, word) in (0..).zip(first(0)) {
        assert_eq!(word.source_ms, (3 + number).min(9), "{word:?}");
    }
    assert!(first(0).count() > 3);
}

#[test]
fn a_flush_ends_a_sentence_and_the_wrong_input_changes_nothing() {
    let (translator, mut session) = (translator(), reader(PolicyKind::Offline { beam_size: 2 }));
    let wrong = SessionError::OtherInput { given: "samples", allowed: "text" };
    assert_eq!(session.accept_waveform(&[0.0; 100]), Err(wrong));
    session.accept_text("no full stop").unwrap();
    session.flush().unwrap();
    drive(&mut session, &translator).unwrap();
    let said = events(&mut session);
    assert_eq!((utterances(&said), said.last()), (vec![(0, 0, 3)], Some(&Event::Flushed)));
    session.input_finished();
    assert_eq!(session.accept_text("more"), Err(SessionError::InputFinished));
    drive(&mut session, &translator).unwrap();
    assert_eq!(events(&mut session), [Event::Finished]);
    let wrong = SessionError::OtherInput { given: "text", allowed: "samples" };
    assert_eq!(wait_k(1).accept_text("a"), Err(wrong));
}
