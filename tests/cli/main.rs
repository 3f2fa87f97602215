//! The built program from outside: a tiny bundle with random weights, clips in, text and exit codes out.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

mod serve;
mod support;
mod text;

use decalage::bundle::{Assets, Bundle, BundleError};
use decalage::text::Language;
use serde_json::Value;
use support::{Scratch, clip, decalage, wav};

#[test]
fn translates_offline_and_as_a_stream() {
    let scratch = Scratch::new("translate");
    for mode in [&["--beam", "2"][..], &["--stream", "--k", "2"]] {
        let run = scratch.translate(&[&clip("reference.wav")], mode);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{mode:?}");
        assert!(run.stdout.ends_with('\n') && run.stdout.trim().len() > 1, "{mode:?}: {:?}", run.stdout);
        assert_eq!(run.stdout, scratch.translate(&[&clip("reference.wav")], mode).stdout, "a second run says the same");
    }
}

#[test]
fn the_formats_say_the_same() {
    let scratch = Scratch::new("formats");
    let run =
        |format: &str| scratch.translate(&[&clip("reference.wav")], &["--stream", "--format", format, "--transcript"]);
    let json: Value = serde_json::from_str(&run("json").stdout).unwrap();
    assert_eq!(json["audio_ms"], 1910);
    let words = json["words"].as_array().unwrap();
    assert!(!words.is_empty());
    assert!(words.iter().all(|word| word["start_ms"].as_u64() <= word["end_ms"].as_u64()));
    assert_eq!(
        words.iter().map(|word| word["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
        (0..words.len() as u64).collect::<Vec<_>>()
    );
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = plain(json["text"].as_str().unwrap());
    let shown = run("text").stdout;
    assert_eq!(plain(shown.lines().next().unwrap()), said);
    let cues = run("srt").stdout;
    let cues: Vec<&str> = cues.lines().filter(|line| !line.contains("-->") && line.parse::<u32>().is_err()).collect();
    assert_eq!(plain(&cues.join(" ")), said);
    assert!(run("vtt").stdout.starts_with("WEBVTT\n\n00:"));
}

#[test]
fn containers_and_standard_input_are_heard_alike() {
    let scratch = Scratch::new("containers");
    let file = clip("mono-16k.mp3");
    let from_file = scratch.translate(&[&file], &["--stream"]);
    let from_stdin = scratch.translate_stdin(std::fs::read(&file).unwrap());
    assert_eq!((from_file.code, from_stdin.code), (0, 0), "{}", from_stdin.stderr);
    assert_eq!(from_file.stdout, from_stdin.stdout);
}

#[test]
fn a_failing_file_does_not_stop_the_others() {
    let scratch = Scratch::new("many");
    let empty = scratch.file("empty.wav", b"");
    let good = clip("reference.wav");
    let run = scratch.translate(&["no/such.wav", &empty, &good], &["--stream"]);
    assert_eq!(run.code, 4);
    assert!(run.stderr.contains("no/such.wav: reading failed: No such file"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().next().unwrap().matches("No such file").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("empty.wav: the input is empty"), "{}", run.stderr);
    assert!(run.stderr.contains("2 of 3 files failed"), "{}", run.stderr);
    let said = scratch.translate(&[&good], &["--stream"]).stdout;
    assert!(run.stdout.ends_with(&format!("==> {good} <==\n{said}")), "{}", run.stdout);
}

#[test]
fn subtitles_of_several_files_are_files() {
    let scratch = Scratch::new("subtitles");
    let clips = [clip("reference.wav"), clip("mono-16k.mp3")];
    let files: Vec<&str> = clips.iter().map(String::as_str).collect();
    let refused = scratch.translate(&files, &["--format", "srt"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("name a folder with --out"), "{}", refused.stderr);
    let out = scratch.path("out");
    let run = scratch.translate(&files, &["--format", "srt", "--out", &out]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    for (file, name) in files.iter().zip(["reference.srt", "mono-16k.srt"]) {
        let alone = scratch.translate(&[file], &["--format", "srt"]).stdout;
        assert_eq!(std::fs::read_to_string(format!("{out}/{name}")).unwrap(), alone);
        assert!(alone.starts_with("1\n00:00:0"), "{alone}");
    }
    let twice = scratch.translate(&[files[0], files[0]], &["--out", &out]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("reference.txt, rename one"), "{}", twice.stderr);
}

#[test]
fn silence_and_no_samples_are_empty_results() {
    let scratch = Scratch::new("silence");
    for (name, seconds) in [("none.wav", 0), ("silence.wav", 60)] {
        let file = scratch.file(name, &wav(&vec![0; seconds * 16_000]));
        let text = scratch.translate(&[&file], &["--stream"]);
        assert_eq!((text.code, text.stdout.as_str(), text.stderr.as_str()), (0, "", ""), "{name}");
        let json: Value = serde_json::from_str(&scratch.translate(&[&file], &["--format", "json"]).stdout).unwrap();
        assert_eq!(
            (&json["words"], &json["audio_ms"]),
            (&Value::Array(Vec::new()), &(seconds * 1000).into()),
            "{name}"
        );
    }
}

#[test]
fn what_can_be_heard_of_a_damaged_file_is_translated() {
    let scratch = Scratch::new("damaged");
    let whole = std::fs::read(clip("reference.wav")).unwrap();
    let cut = scratch.file("cut.wav", &whole[..whole.len() - 7001]);
    let run = scratch.translate(&[&cut], &["--stream"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("translated up to the fault: the input ends too early"), "{}", run.stderr);
    assert!(run.stdout.trim().len() > 1);
    let noise = scratch.file("noise.bin", &[7; 5000]);
    let run = scratch.translate(&[&noise], &[]);
    assert_eq!((run.code, run.stdout.as_str()), (4, ""));
    assert!(run.stderr.contains("noise.bin: not a readable wav"), "{}", run.stderr);
}

#[test]
fn a_bad_bundle_is_named() {
    let scratch = Scratch::new("bundle");
    let missing = decalage(&["translate", "--bundle", "no/such", &clip("reference.wav")]);
    assert_eq!(missing.code, 3);
    assert!(missing.stderr.contains("no/such/manifest.json: No such file"), "{}", missing.stderr);
    assert_eq!(missing.stderr.matches("No such file").count(), 1, "{}", missing.stderr);
    let weights = scratch.bundle().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let changed = scratch.translate(&[&clip("reference.wav")], &[]);
    assert_eq!(changed.code, 3);
    assert!(changed.stderr.contains("model.safetensors has sha256 "), "{}", changed.stderr);
    Bundle::seal(scratch.bundle()).unwrap();
    assert_eq!(scratch.translate(&[&clip("reference.wav")], &[]).code, 0, "sealed again, it is a bundle");
}

#[test]
fn what_a_bundle_lacks_is_named() {
    let scratch = Scratch::new("parts");
    let folder = scratch.bundle();
    // Changes a JSON file, and puts it back after the bundle was opened.
    let opened = |name: &str, seal: bool, change: &dyn Fn(&mut Value)| {
        let path = folder.join(name);
        let before = std::fs::read(&path).unwrap();
        let mut json: Value = serde_json::from_slice(&before).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        if seal {
            Bundle::seal(folder).unwrap();
        }
        let error = Bundle::open(folder).unwrap_err();
        std::fs::write(&path, before).unwrap();
        Bundle::seal(folder).unwrap();
        error
    };
    // A newer layout is that, whatever else has changed with it.
    let newer = |json: &mut Value| {
        json["format"] = 2.into();
        json["signature"] = "?".into();
    };
    let error = opened("manifest.json", false, &newer);
    assert!(matches!(error, BundleError::Format(2)), "{error:?}");
    let error = opened("config.json", true, &newer);
    assert!(matches!(error, BundleError::Format(2)), "{error:?}");
    let error = opened("manifest.json", false, &|json| json["signature"] = "?".into());
    assert!(matches!(error, BundleError::Json { .. }), "{error:?}");
    let error = opened("manifest.json", false, &|json| {
        json["files"].as_object_mut().unwrap().remove("cmvn.json").unwrap();
    });
    assert!(matches!(error, BundleError::Unlisted("cmvn.json")), "{error:?}");
    let error = opened("config.json", true, &|json| {
        let vocab = &mut json["model"]["target_vocab"];
        *vocab = (vocab.as_u64().unwrap() + 1).into();
    });
    assert!(matches!(error, BundleError::Mismatch { part: "tokenizer-target.json", .. }), "{error:?}");
    let error = opened("config.json", true, &|json| json["features"]["frame_shift_ms"] = 0.into());
    assert_eq!(error.to_string(), "frame_shift_ms is 0, allowed is 1 to 25");
    Bundle::open(folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn another_libtorch_is_named_by_the_loader() {
    let scratch = Scratch::new("libtorch");
    scratch.file("libtorch.so", b"not a library");
    let run = scratch.with_libraries(&["--version"]);
    assert_eq!(run.code, 127);
    assert!(run.stderr.contains("libtorch.so"), "{}", run.stderr);
}

#[test]
fn wrong_usage_is_2() {
    for wrong in [&["translate"][..], &["translate", "--stream", "--k", "0", "a.wav"], &["evaluate", "--k", "0"]] {
        assert_eq!(decalage(wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn info_counts_what_the_files_hold() {
    let scratch = Scratch::new("info");
    let bundle = scratch.bundle().to_str().unwrap().to_owned();
    let json: Value = serde_json::from_str(&decalage(&["info", &bundle, "--json"]).stdout).unwrap();
    let parts = json["parameters_by_part"].as_object().unwrap();
    let sum: u64 = parts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(json["parameters"], sum);
    // f16 weights and a header that names them.
    let bytes = json["file_bytes"]["model.safetensors"].as_u64().unwrap();
    assert!((2 * sum..2 * sum + 20_000).contains(&bytes), "{bytes} bytes for {sum} parameters");
    assert_eq!(json["segment_ms"], 320);
    let state: Vec<u64> = json["state_bytes"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).collect();
    // Only the softmax cross-attention grows: d_model f32 a step, 25 steps a second.
    assert_eq!(state[1] - state[0], 250 * 32 * 4);
    assert_eq!(state[2] - state[0], 78 * 8 * 32 * 4);
    assert!(decalage(&["info", &bundle]).stdout.contains("en to de"));
}

#[test]
fn evaluates_a_manifest() {
    let scratch = Scratch::new("evaluate");
    let manifest = format!(
        "id\taudio\tspeaker\tseconds\tenglish\tgerman\tgerman2\n\
         one\t{0}\tslt\t1.9\tGood morning, how are you?\tGuten Morgen, wie geht es dir?\tGuten Morgen, wie geht's?\n\
         two\t{0}\tslt\t1.9\tGood morning, how are you?\tGuten Morgen, wie geht es dir?\t\n",
        clip("reference.wav")
    );
    let manifest = scratch.file("manifest.tsv", manifest.as_bytes());
    let (json, out) = (scratch.path("scores.json"), scratch.path("out"));
    let run = decalage(&[
        "evaluate",
        "--manifest",
        &manifest,
        "--bundle",
        scratch.bundle().to_str().unwrap(),
        "--k",
        "1,inf",
        "--beam",
        "2",
        "--examples",
        "1",
        "--json",
        &json,
        "--out",
        &out,
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    // The table, an empty line, and of one example its name, what was said, heard and hoped for, and both policies'.
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3 + 1 + 1 + 3 + 2, "{}", run.stdout);
    assert_eq!(lines[5], "  said       Good morning, how are you?");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let (first, offline) = (&report["results"][0], &report["results"][1]);
    assert_eq!((&first["k"], &offline["k"]), (&1.into(), &Value::Null));
    assert_eq!((&first["clips"], &first["seconds"]), (&2.into(), &3.82.into()));
    let lags = ["laal_ms", "laal_ca_ms"].map(|key| first[key].as_f64().unwrap());
    assert!(lags[0] > 0.0 && lags[0] < lags[1], "{lags:?}");
    let log = std::fs::read(format!("{out}/instances-k1.log")).unwrap();
    let instances = decalage::eval::read_instances(&log[..]).unwrap();
    assert_eq!(instances.len(), 2);
    assert_eq!(instances[0].prediction, instances[1].prediction);
    assert_eq!(instances[0].delays_ms.len(), instances[0].prediction.split(' ').count());
    for file in ["instances-kinf.log", "quality-latency.png"] {
        assert!(std::fs::metadata(format!("{out}/{file}")).unwrap().len() > 0, "{file}");
    }
}

#[test]
fn what_waited_for_the_last_sample_came_at_the_end() {
    let scratch = Scratch::new("evaluate-end");
    let samples: Vec<i16> = std::fs::read(clip("reference.wav")).unwrap()[44..]
        .chunks_exact(2)
        .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
        .collect();
    let audio = scratch.file("clip.wav", &wav(&samples[..28_005]));
    let manifest = format!("id\taudio\tspeaker\tseconds\tenglish\tgerman\none\t{audio}\tslt\t1.75\tHi.\tGuten Tag.\n");
    let (manifest, out) = (scratch.file("manifest.tsv", manifest.as_bytes()), scratch.path("out"));
    let bundle = scratch.bundle().to_str().unwrap().to_owned();
    let run = decalage(&["evaluate", "--manifest", &manifest, "--bundle", &bundle, "--k", "inf", "--out", &out]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let log = std::fs::read(format!("{out}/instances-kinf.log")).unwrap();
    let instance = decalage::eval::read_instances(&log[..]).unwrap().remove(0);
    assert_eq!(instance.delays_ms.last(), Some(&instance.source_ms), "{instance:?}");
}

#[test]
fn without_the_detector_a_clip_is_one_utterance() {
    let scratch = Scratch::new("evaluate-whole");
    let audio = scratch.file("silence.wav", &wav(&vec![0; 48_000]));
    let manifest = format!("id\taudio\tspeaker\tseconds\tenglish\tgerman\none\t{audio}\tslt\t3.0\tHi.\tGuten Tag.\n");
    let (manifest, json) = (scratch.file("manifest.tsv", manifest.as_bytes()), scratch.path("scores.json"));
    let bundle = scratch.bundle().to_str().unwrap().to_owned();
    let words_per_minute = |threshold: &str| {
        let files = ["--manifest", &manifest, "--bundle", &bundle, "--json", &json];
        let run = decalage(&[&["evaluate", "--k", "1", "--vad-threshold", threshold], &files[..]].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        report["results"][0]["words_per_minute"].as_f64().unwrap()
    };
    assert_eq!(words_per_minute("0.5"), 0.0);
    assert!(words_per_minute("0") > 0.0, "a model of random weights has something to say to silence");
}

#[test]
fn a_least_lag_above_the_greatest_is_refused() {
    let scratch = Scratch::new("train-lags");
    let (data, out) = (scratch.path("no.tsv"), scratch.path("out"));
    let files = ["--assets", &out, "--data", &data, "--out", &out, "--updates", "1"];
    let run = decalage(&[&["train", "--task", "joint", "--min-k", "3", "--max-k", "2"], &files[..]].concat());
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("--min-k is 3, allowed: 1 to --max-k (2)"), "{}", run.stderr);
}

#[test]
fn prepares_a_model_for_another_language() {
    let scratch = Scratch::new("prepare");
    let manifest = format!("{}/tests/fixtures/speech/train.tsv", env!("CARGO_MANIFEST_DIR"));
    let pairs = scratch.file("pairs.tsv", "Good morning.\tGoedemorgen.\n".repeat(4).as_bytes());
    let more = scratch.file("more.txt", b"Good evening.\n");
    let out = scratch.path("assets");
    let prepare = |options: &[&str]| {
        let sizes = ["--size", "tiny", "--clips", "2", "--target-vocab", "20"];
        let files = ["--text", &pairs, "--manifest", &manifest, "--out", &out];
        decalage(&[&["prepare"], &sizes[..], &files[..], options].concat())
    };
    let run = prepare(&["--target-language", "nl"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let Assets { config, language, .. } = Assets::open(out.as_ref()).unwrap();
    assert_eq!((config.source_language.as_str(), config.target_language.as_str()), ("en", "nl"));
    let pairs_twice = ["good morning"; 8];
    assert_eq!(language.as_ref(), Some(&Language::train(&pairs_twice[..4])));
    assert_eq!(prepare(&["--english", &more]).code, 0);
    let language = Assets::open(out.as_ref()).unwrap().language;
    assert_eq!(language, Some(Language::train(pairs_twice.iter().chain(&["good evening"]))));
    assert_eq!(prepare(&["--target-language", "Dutch"]).code, 2);
    let missing = prepare(&["--english", "/nowhere.txt"]);
    assert!(missing.code == 1 && missing.stderr.contains("/nowhere.txt"), "{}", missing.stderr);
}

#[test]
fn exports_what_it_can_serve() {
    let scratch = Scratch::new("export");
    let (assets, weights) = (scratch.bundle().to_str().unwrap(), scratch.bundle().join("model.safetensors"));
    let out = scratch.path("exported");
    let run =
        decalage(&["export", "--checkpoint", weights.to_str().unwrap(), "--assets", assets, "--out", &out, "--f32"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said = |bundle: &str| decalage(&["translate", "--direct", "--bundle", bundle, &clip("reference.wav")]).stdout;
    assert_eq!(said(&out), said(assets));
    let other = scratch.file("other.safetensors", b"nonsense");
    assert_eq!(decalage(&["export", "--checkpoint", &other, "--assets", assets, "--out", &out]).code, 1);
    assert_eq!(said(&out), said(assets), "what was there is untouched");
}
