//! What holds the network's forms together: whole = steps, quadratic = linear, one = many, for every kind of attention.
#![cfg(feature = "torch")]

use tch::{Device, Kind, Tensor, nn};

use super::attention::{Attention, Valid, Visible};
use super::packed::Products;
use super::*;

/// Relative tolerance in f32 (model.md §4).
const TOLERANCE: f64 = 1e-5;

fn config(kind: AttentionKind) -> ModelConfig {
    ModelConfig {
        encoder_self: kind,
        decoder_self: kind,
        decoder_cross: kind,
        window_steps: 12, // not whole segments, and fewer than the tests' utterances have
        dropout: 0.0,
        ..ModelConfig::tiny(20, 30)
    }
}

/// Each kind in all blocks, the mix that bundles have (memories beside sums), that with longer steps and with a reach.
fn configs() -> impl Iterator<Item = ModelConfig> {
    let mix = ModelConfig { dropout: 0.0, ..ModelConfig::tiny(20, 30) };
    assert!(mix.decoder_cross != mix.decoder_self);
    let eighths = ModelConfig { frames_per_step: 8, ..mix.clone() };
    let reaching = ModelConfig { reach_segments: Some(1), ..mix.clone() };
    AttentionKind::ALL.into_iter().map(config).chain([mix, eighths, reaching])
}

fn build(config: &ModelConfig) -> (nn::VarStore, SpeechTranslator) {
    tch::manual_seed(7);
    let store = nn::VarStore::new(Device::Cpu);
    let model = SpeechTranslator::new(&store.root(), config, Kind::Float);
    (store, model)
}

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

#[track_caller]
fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}: shapes");
    let difference = (found - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]).max(1.0);
    assert!(difference <= TOLERANCE * scale, "{what}: off by {difference:e} at a scale of {scale:.3}");
}

/// Encoder steps in sight at a lag of `lag` segments.
fn reach(config: &ModelConfig, lag: usize) -> Option<usize> {
    config.reach_segments.map(|segments| (lag + segments) * config.steps_per_segment)
}

/// Encodes and decodes one utterance step by step: encoder outputs are checked through what the decoder says.
fn by_steps(model: &SpeechTranslator, frames: &Tensor, tokens: &[i64], lag: usize) -> (Tensor, Tensor) {
    let reach = reach(model.config(), lag);
    let frames_per_step = model.config().frames_per_step;
    let length = model.config().steps_per_segment * frames_per_step;
    let count = frames.size()[1] as usize;
    let mut state = model.init();
    let (mut labels, mut scores, mut said) = (Vec::new(), Vec::new(), 0);
    for start in (0..count).step_by(length) {
        let size = length.min(count - start);
        let padded = frames.narrow(1, start as i64, size as i64).constant_pad_nd([0, 0, 0, (length - size) as i64]);
        let (next, log_probs) = model.encode_step(&[&state], &padded, &[size], &[reach]);
        state = next.into_iter().next().unwrap();
        labels.push(log_probs.narrow(1, 0, size.div_ceil(frames_per_step) as i64));
        let (segments, last) = (start / length + 1, start + size == count);
        while said < tokens.len() && (last || segments >= lag + said) {
            let (next, log_probs) = model.decode_step(&[&state], &tokens[said..=said]);
            state = next.into_iter().next().unwrap();
            scores.push(log_probs);
            said += 1;
        }
    }
    (Tensor::cat(&labels, 1), Tensor::stack(&scores, 1))
}

#[test]
fn whole_utterances_equal_segments_and_tokens_for_every_kind() {
    for config in configs() {
        for convolution in [ConvKind::Dynamic, ConvKind::Lightweight, ConvKind::None] {
            let config = ModelConfig { convolution, ..config.clone() };
            let kind = (config.encoder_self, config.decoder_self, config.decoder_cross);
            let (_store, model) = build(&config);
            for (count, lag) in [(1, 1), (32, 1), (33, 2), (127, 3), (160, 1), (205, 100)] {
                let what =
                    format!("{kind:?} {convolution:?}, reach {:?}, {count} frames, k = {lag}", config.reach_segments);
                let frames = random(&[1, count, 80]);
                let tokens: Vec<i64> = (0..7).map(|i| 4 + (i * 5) % 26).collect();
                let whole = model.encode(&frames, &Tensor::from_slice(&[count]), false);
                let steps = (count as usize).div_ceil(config.frames_per_step);
                let visible: Vec<i64> = (0..7).map(|i| ((lag + i) * 8).min(steps) as i64).collect();
                let scores = model.decode(
                    &Tensor::from_slice(&tokens).view([1, 7]),
                    &whole,
                    &Tensor::from_slice(&visible).view([1, 7]),
                    reach(&config, lag),
                    false,
                );
                let (labels, stepped) = by_steps(&model, &frames, &tokens, lag);
                assert_close(&labels, &model.ctc(&whole.steps), &format!("{what}: labels"));
                assert_close(&stepped, &scores, &format!("{what}: scores"));
            }
        }
    }
}

#[test]
fn whole_sentences_equal_pieces_for_every_kind_alone_and_among_others() {
    for config in configs() {
        tch::manual_seed(9);
        let store = nn::VarStore::new(Device::Cpu);
        let model = TextTranslator::new(&store.root(), 25, &config, Kind::Float);
        let sentences: [Vec<i64>; 2] = [(0..9).map(|i| 4 + i * 2).collect(), vec![7, 8, 9]];
        let tokens = [4i64, 9, 14];
        let mut states = vec![model.init(), model.init()];
        for at in 0..9 {
            let rows: Vec<usize> = (0..2).filter(|&row| at < sentences[row].len()).collect();
            let pieces: Vec<i64> = rows.iter().map(|&row| sentences[row][at]).collect();
            let next = model.encode_step(&rows.iter().map(|&row| &states[row]).collect::<Vec<_>>(), &pieces);
            rows.into_iter().zip(next).for_each(|(row, state)| states[row] = state);
        }
        for (mut state, sentence) in states.into_iter().zip(&sentences) {
            let length = sentence.len() as i64;
            let pieces = Tensor::from_slice(sentence).view([1, length]);
            let whole = model.encode(&pieces, &Tensor::from_slice(&[length]), false);
            let visible = Tensor::from_slice(&[length; 3]).view([1, 3]);
            let scores = model.decode(&Tensor::from_slice(&tokens).view([1, 3]), &whole, &visible, None, false);
            let mut stepped = Vec::new();
            for token in tokens {
                let (next, log_probs) = model.decode_step(&[&state], &[token]);
                state = next.into_iter().next().unwrap();
                stepped.push(log_probs);
            }
            assert_close(&Tensor::stack(&stepped, 1), &scores, &format!("{:?}, {length} pieces", config.decoder_cross));
        }
    }
}

#[test]
fn the_quadratic_form_equals_the_linear_one_for_every_kind() {
    for kind in AttentionKind::ALL {
        tch::manual_seed(3);
        let store = nn::VarStore::new(Device::Cpu);
        let attention = Attention::new(&store.root(), kind, 32, (50, 60), &config(kind), &Products::of(Kind::Float));
        for (queries, keys) in [(1, 1), (9, 40), (31, 7)] {
            let (x, memory) = (random(&[3, queries, 32]), random(&[3, keys, 32]));
            let counts = Tensor::randint_low(1, keys + 1, [3, queries], (Kind::Int64, Device::Cpu));
            let visible = Visible::new(&counts, keys);
            let quadratic = attention.forward(&x, &memory, &visible);
            let linear = attention.forward_linear(&x, &memory, &visible);
            assert_close(&linear, &quadratic, &format!("{kind:?}, {queries} × {keys}"));
        }
    }
}

#[test]
fn absorbing_in_any_pieces_equals_the_whole_for_every_kind() {
    for kind in AttentionKind::ALL {
        tch::manual_seed(4);
        let store = nn::VarStore::new(Device::Cpu);
        let attention = Attention::new(&store.root(), kind, 32, (50, 60), &config(kind), &Products::of(Kind::Float));
        let (x, memory) = (random(&[2, 5, 32]), random(&[2, 23, 32]));
        let visible = Visible::new(&Tensor::full([2, 5], 23, (Kind::Int64, Device::Cpu)), 23);
        let expected = attention.forward(&x, &memory, &visible);
        for pieces in [vec![23], vec![1; 23], vec![8, 8, 7], vec![3, 17, 1, 2]] {
            let mut state = attention.init(2, Device::Cpu);
            let mut start = 0;
            for piece in pieces {
                let positions = Tensor::arange_start(start, start + piece, (Kind::Int64, Device::Cpu));
                let valid = Valid::new(&[piece as usize; 2], piece as usize, Device::Cpu);
                let keys = memory.narrow(1, start, piece);
                state = attention.absorb(&state, &keys, &positions.expand([2, piece], false), &valid);
                start += piece;
            }
            let positions = Tensor::arange(5, (Kind::Int64, Device::Cpu)).expand([2, 5], false);
            assert_close(
                &attention.read(&state, state.hidden().as_ref(), &x, &positions),
                &expected,
                &format!("{kind:?}"),
            );
        }
    }
}

#[test]
fn attention_to_itself_steps_as_it_sees_whole_sequences_for_every_kind() {
    for (kind, products) in AttentionKind::ALL
        .into_iter()
        .flat_map(|kind| [Products::of(Kind::Float), Products::to_serve(Device::Cpu)].map(|products| (kind, products)))
    {
        tch::manual_seed(5);
        let mut store = nn::VarStore::new(Device::Cpu);
        let attention = Attention::new(&store.root(), kind, 64, (50, 50), &config(kind), &products);
        store.half(); // what packed products round to
        store.float();
        store.freeze();
        let (batch, length) = (3, 9);
        let x = random(&[batch, length, 64]);
        let expected = attention.forward(&x, &x, &Visible::causal(batch, length, Device::Cpu));
        let mut state = attention.init(batch, Device::Cpu);
        for at in 0..length {
            let position = Tensor::full([batch, 1], at, (Kind::Int64, Device::Cpu));
            let valid = Valid::new(&[1, 1, 1], 1, Device::Cpu);
            let (y, next) = attention.step(&state, &x.narrow(1, at, 1), &position, &valid);
            assert_close(&y, &expected.narrow(1, at, 1), &format!("{kind:?}, {products:?}, {at}"));
            state = next;
        }
    }
}

#[test]
fn a_batch_of_many_equals_many_of_one() {
    for config in configs() {
        let kind = (config.encoder_self, config.decoder_self, config.decoder_cross);
        let (_store, model) = build(&config);
        let counts = [150i64, 9, 64];
        let clips: Vec<Tensor> = counts.iter().map(|&n| random(&[1, n, 80])).collect();
        let tokens = Tensor::from_slice(&[1i64, 9, 17, 5]).view([1, 4]);
        let padded: Vec<Tensor> = clips.iter().map(|c| c.constant_pad_nd([0, 0, 0, 150 - c.size()[1]])).collect();
        let batch = model.encode(&Tensor::cat(&padded, 0), &Tensor::from_slice(&counts), false);
        let all = batch.num_steps.unsqueeze(-1).expand([3, 4], false);
        let together = model.decode(&tokens.expand([3, 4], false), &batch, &all, None, false);
        for (row, clip) in clips.iter().enumerate() {
            let one = model.encode(clip, &Tensor::from_slice(&counts[row..=row]), false);
            let steps = one.steps.size()[1];
            let same = batch.steps.narrow(0, row as i64, 1).narrow(1, 0, steps);
            assert_close(&same, &one.steps, &format!("{kind:?}, row {row}: steps"));
            let alone = model.decode(&tokens, &one, &one.num_steps.unsqueeze(-1).expand([1, 4], false), None, false);
            assert_close(&together.narrow(0, row as i64, 1), &alone, &format!("{kind:?}, row {row}: scores"));
        }
    }
}

#[test]
fn sessions_of_different_age_step_together_as_they_would_alone() {
    for kind in AttentionKind::ALL {
        let (_store, model) = build(&config(kind));
        let segments: Vec<Tensor> = (0..4).map(|_| random(&[1, 32, 80])).collect();
        let young = model.init();
        let (old, _) = model.encode_step(&[&model.init()], &segments[0], &[32], &[None]);
        let (old, _) = model.encode_step(&[&old[0]], &segments[1], &[32], &[None]);
        let (old, _) = model.decode_step(&[&old[0]], &[1]);
        let frames = Tensor::cat(&segments[2..], 0);
        let (both, labels) = model.encode_step(&[&young, &old[0]], &frames, &[32, 13], &[None, None]);
        for (row, (state, frames, count)) in
            [(&young, &segments[2], 32), (&old[0], &segments[3], 13)].into_iter().enumerate()
        {
            let (alone, own) = model.encode_step(&[state], frames, &[count], &[None]);
            let steps = count.div_ceil(4) as i64;
            let shared = labels.narrow(0, row as i64, 1).narrow(1, 0, steps);
            assert_close(&shared, &own.narrow(1, 0, steps), &format!("{kind:?}: labels of row {row}"));
            let (_, expected) = model.decode_step(&[&alone[0]], &[5]);
            let (_, found) = model.decode_step(&[&both[0], &both[1]], &[5, 5]);
            assert_close(&found.narrow(0, row as i64, 1), &expected, &format!("{kind:?}: scores of row {row}"));
            assert_eq!(both[row].num_bytes(), alone[0].num_bytes(), "{kind:?}: padding must not stay");
        }
    }
}

#[test]
fn later_segments_change_nothing_that_was_encoded() {
    for kind in AttentionKind::ALL {
        let (_store, model) = build(&config(kind));
        let (start, end) = (random(&[1, 64, 80]), random(&[1, 64, 80]));
        let encode = |end: &Tensor| {
            let whole = Tensor::cat(&[&start, end], 1);
            model.encode(&whole, &Tensor::from_slice(&[128i64]), false).steps.narrow(1, 0, 16)
        };
        assert_eq!(encode(&end), encode(&(&end * -3.0)), "{kind:?}");
    }
}

#[test]
fn a_state_survives_its_bytes_and_other_bytes_are_refused() {
    for kind in AttentionKind::ALL {
        let (_store, model) = build(&config(kind));
        let (state, _) = model.encode_step(&[&model.init()], &random(&[1, 32, 80]), &[32], &[None]);
        let (state, _) = model.decode_step(&[&state[0]], &[1]);
        let bytes = state[0].to_bytes().unwrap();
        let back = model.init().with_bytes(&bytes).unwrap();
        let (_, expected) = model.decode_step(&[&state[0]], &[6]);
        let (_, found) = model.decode_step(&[&back], &[6]);
        assert_eq!(found, expected, "{kind:?}");

        assert!(matches!(model.init().with_bytes(&bytes[..bytes.len() / 2]), Err(StateError::Damaged(_))));
        assert!(matches!(model.init().with_bytes(b"nonsense"), Err(StateError::Damaged(_))));
        // The same length, so that nothing but the version is wrong.
        let name = br#""version":""#;
        let at = name.len() + bytes.windows(name.len()).position(|window| window == name).unwrap();
        let mut other = bytes.clone();
        other[at] = b'?';
        assert!(matches!(model.init().with_bytes(&other), Err(StateError::Version(_))));
        let (_store, wider) = build(&ModelConfig { d_model: 64, ..config(kind) });
        assert!(matches!(wider.init().with_bytes(&bytes), Err(StateError::Shape { .. })));
        let mut forged = state[0].clone();
        forged.encoder.steps = Tensor::from_slice(&[-1i64]);
        assert!(matches!(model.init().with_bytes(&forged.to_bytes().unwrap()), Err(StateError::Damaged(_))));
    }
}

#[test]
fn constant_state_for_linear_kinds() {
    for kind in [AttentionKind::Relu, AttentionKind::Cosformer, AttentionKind::Leap] {
        let (_store, model) = build(&config(kind));
        let mut state = model.init();
        let fresh = state.num_bytes();
        for _ in 0..5 {
            let (next, _) = model.encode_step(&[&state], &random(&[1, 32, 80]), &[32], &[None]);
            state = next.into_iter().next().unwrap();
            assert_eq!(state.num_bytes(), fresh, "{kind:?}");
        }
    }
}

#[test]
fn a_window_shows_all_that_it_has_room_for_and_then_stops_growing() {
    let models = [AttentionKind::Softmax, AttentionKind::Window].map(|kind| build(&config(kind)).1);
    let tokens = Tensor::from_slice(&[1i64, 9, 17]).view([1, 3]);
    for (count, same) in [(48, true), (52, false)] {
        let frames = random(&[1, count, 80]);
        let [all, window] = models.each_ref().map(|model| {
            let source = model.encode(&frames, &Tensor::from_slice(&[count]), false);
            model.decode(&tokens, &source, &source.num_steps.expand([1, 3], false), None, false)
        });
        assert_eq!(all == window, same, "{} steps", count / 4);
    }
    let mut states = vec![models[1].init()];
    for _ in 0..5 {
        let last = &states[states.len() - 1];
        let (next, _) = models[1].encode_step(&[last], &random(&[1, 32, 80]), &[32], &[None]);
        states.extend(next);
    }
    let sizes: Vec<usize> = states.iter().map(State::num_bytes).collect();
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
    assert!(sizes[2..].iter().all(|&size| size == sizes[2]), "{sizes:?}");
}

#[test]
fn a_reach_is_each_rows_own_and_stops_growing() {
    let (_store, model) = build(&config(AttentionKind::Softmax));
    let reach = [Some(12), None, Some(20)];
    let mut together: Vec<State> = reach.map(|_| model.init()).into();
    let mut alone = together.clone();
    for segment in 1..5 {
        let frames = random(&[3, 32, 80]);
        together = model.encode_step(&together.iter().collect::<Vec<_>>(), &frames, &[32; 3], &reach).0;
        for (row, state) in alone.iter_mut().enumerate() {
            let frames = frames.narrow(0, row as i64, 1);
            *state = model.encode_step(&[&*state], &frames, &[32], &reach[row..=row]).0.remove(0);
            let (_, expected) = model.decode_step(&[&*state], &[5]);
            let (_, found) = model.decode_step(&[&together[row]], &[5]);
            assert_close(&found, &expected, &format!("segment {segment}, row {row}"));
            assert_eq!(together[row].num_bytes(), state.num_bytes());
        }
    }
    let [short, whole, long] = [0, 1, 2].map(|row| together[row].num_bytes());
    assert_eq!((long - short, whole - long), (8 * 32 * 4, 12 * 32 * 4), "steps of D numbers");
}

#[test]
fn a_beam_of_one_is_greedy_and_a_wider_one_scores_no_worse() {
    configs().for_each(|config| searches_well(&config));
}

/// Searches to their ends, begun together.
fn searched(model: &SpeechTranslator, tasks: Vec<Task>, vocabulary: &Vocabulary<'_>) -> Vec<Hypothesis> {
    let mut ended: Vec<Option<Hypothesis>> = tasks.iter().map(|_| None).collect();
    let mut running: Vec<(usize, Search)> = tasks.into_iter().map(Search::new).enumerate().collect();
    while !running.is_empty() {
        let (numbers, searches): (Vec<usize>, Vec<Search>) = std::mem::take(&mut running).into_iter().unzip();
        for (number, progress) in numbers.into_iter().zip(model.search(searches, vocabulary)) {
            match progress {
                Progress::Ended(best) => ended[number] = Some(best),
                Progress::Underway(search) => running.push((number, *search)),
            }
        }
    }
    ended.into_iter().flatten().collect()
}

fn searches_well(config: &ModelConfig) {
    let (_store, model) = build(config);
    let (state, _) = model.encode_step(&[&model.init()], &random(&[1, 32, 80]), &[32], &[None]);
    let allowed = Tensor::zeros([30], (Kind::Float, Device::Cpu));
    let vocabulary = Vocabulary { end: 2, allowed: &allowed, allowed_first: &allowed };
    let task =
        |beam_size, max_tokens| Task { state: state[0].clone(), begin: 1, beam_size, max_tokens, is_lookahead: false };
    let search = |tasks: Vec<Task>| searched(&model, tasks, &vocabulary);
    let greedy = &search(vec![task(1, 12)])[0];
    let (mut current, mut token, mut said) = (state[0].clone(), 1, Vec::new());
    while said.len() < 12 {
        let (next, scores) = model.decode_step(&[&current], &[token]);
        token = scores.argmax(-1, false).int64_value(&[0]);
        if token == 2 {
            break;
        }
        said.push(token);
        current = next.into_iter().next().unwrap();
    }
    assert_eq!(greedy.tokens, said);
    assert!(search(vec![task(1, 0)])[0].tokens.is_empty());
    assert!(search(vec![task(8, 12)])[0].tokens.len() <= 12);
    assert!(search(Vec::new()).is_empty());
    // Searches of all ages step together as they would alone, and beside lookaheads.
    let alone: Vec<Vec<i64>> = [2, 3, 5].map(|beam| search(vec![task(beam, 12)])[0].tokens.clone()).into();
    let mut running: Vec<(usize, Search)> = Vec::new();
    let mut ended = vec![Vec::new(); 3];
    for round in 0.. {
        running.extend((round < 3).then(|| (round, Search::new(task([2, 3, 5][round], 12)))));
        if running.is_empty() {
            break;
        }
        let (numbers, mut searches): (Vec<usize>, Vec<Search>) = std::mem::take(&mut running).into_iter().unzip();
        searches.push(Search::new(Task { is_lookahead: true, ..task(2, 2) }));
        for (&number, progress) in numbers.iter().chain([&9]).zip(model.search(searches, &vocabulary)) {
            match progress {
                Progress::Ended(best) if number < 3 => ended[number] = best.tokens,
                Progress::Ended(_) => {}
                Progress::Underway(search) => running.push((number, *search)),
            }
        }
    }
    assert_eq!(ended, alone);
    // Together as alone, and of the length that is asked for where the sentence cannot end.
    let endless = Tensor::zeros([30], (Kind::Float, Device::Cpu));
    let _ = endless.get(2).fill_(f64::NEG_INFINITY);
    let vocabulary = Vocabulary { end: 2, allowed: &endless, allowed_first: &endless };
    let ahead = |beam_size, max_tokens| Task { is_lookahead: true, ..task(beam_size, max_tokens) };
    let tasks = [(2, 3), (4, 7), (1, 1), (3, 3)];
    let together = searched(&model, tasks.map(|(beam, tokens)| ahead(beam, tokens)).into(), &vocabulary);
    for ((beam, tokens), found) in tasks.into_iter().zip(together) {
        let alone = &searched(&model, vec![ahead(beam, tokens)], &vocabulary)[0];
        assert_eq!((found.tokens.len(), found.states.len(), &found.tokens), (tokens, tokens, &alone.tokens));
        // What the steps would have come to.
        let (mut current, mut token) = (state[0].clone(), 1);
        for (state, &next) in found.states.iter().zip(&found.tokens) {
            current = model.decode_step(&[&current], &[token]).0.remove(0);
            let (_, expected) = model.decode_step(&[&current], &[next]);
            let (_, scores) = model.decode_step(&[state], &[next]);
            assert!((scores - expected).abs().max().double_value(&[]) < 1e-4);
            token = next;
        }
    }
}

#[test]
fn digital_silence_is_heard_as_quiet() {
    let (_store, model) = build(&config(AttentionKind::Leap));
    let heard = |level: f64| {
        let frames = Tensor::full([1, 32, 80], level, (Kind::Float, Device::Cpu));
        model.encode_step(&[&model.init()], &frames, &[32], &[None]).1
    };
    assert_eq!(heard(-6.0), heard(-3.0));
    assert_ne!(heard(-2.0), heard(-3.0));
}

#[test]
fn what_ended_at_the_horizon_is_not_rivalled_by_its_own_beginning() {
    let (_store, model) = build(&config(AttentionKind::Leap));
    let (state, _) = model.encode_step(&[&model.init()], &random(&[1, 32, 80]), &[32], &[None]);
    let only = |may: fn(usize) -> bool| {
        Tensor::from_slice(&std::array::from_fn::<f32, 30, _>(|token| if may(token) { 0.0 } else { f32::NEG_INFINITY }))
    };
    let (anything_else, end_alone) = (only(|token| token != 2), only(|token| token == 2));
    let vocabulary = Vocabulary { end: 2, allowed: &end_alone, allowed_first: &anything_else };
    let search = |max_tokens| {
        let task = Task { state: state[0].clone(), begin: 1, beam_size: 1, max_tokens, is_lookahead: true };
        searched(&model, vec![task], &vocabulary).remove(0)
    };
    let (begun, ended) = (search(1), search(2));
    assert_eq!(begun.tokens, ended.tokens);
    // The end is less likely than the best token, so that the beginning would have won.
    assert!(ended.score < begun.score);
}

/// Guards the file format against innocent renames: names and shapes of the default kinds' parameters.
#[test]
fn parameter_names_and_shapes_are_the_golden_ones() {
    let (store, _model) = build(&ModelConfig { decoder_cross: AttentionKind::Softmax, ..config(AttentionKind::Leap) });
    let mut lines: Vec<String> = store.variables().iter().map(|(name, t)| format!("{name} {:?}", t.size())).collect();
    lines.sort();
    let golden = include_str!("../../tests/fixtures/model/parameters.txt");
    assert_eq!(lines.join("\n"), golden.trim_end());
}
