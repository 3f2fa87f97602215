//! `decalage translate --text` and `decalage evaluate --text` from outside.

use serde_json::Value;

use super::support::{Scratch, clip, decalage};

#[test]
fn each_line_is_translated_to_a_line() {
    let scratch = Scratch::new("text");
    let file = scratch.file("lines.txt", b"good morning how are you\n\nthe quick brown fox. jumps over\n");
    for mode in [&["--text", "--beam", "2"][..], &["--text", "--stream", "--k", "2"]] {
        let run = scratch.translate(&[&file], mode);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{mode:?}");
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert!(
            lines.len() == 3 && lines[1].is_empty() && lines[0].len() > 1 && lines[2].len() > 1,
            "{:?}",
            run.stdout
        );
    }
    let run = scratch.translate(&[&clip("reference.wav")], &["--text"]);
    assert!(run.code == 1 && run.stderr.contains("UTF-8"), "{run:?}");
}

#[test]
fn source_text_is_evaluated_in_place_of_the_clips() {
    let scratch = Scratch::new("evaluate-text");
    let manifest = "id\taudio\tspeaker\tseconds\tenglish\tgerman\na\tnone.wav\ts\t1\tgood morning\tGuten Morgen\n";
    let (manifest, json) = (scratch.file("m.tsv", manifest.as_bytes()), scratch.file("scores.json", b""));
    let bundle = scratch.bundle().display().to_string();
    let run = decalage(&[
        "evaluate",
        "--text",
        "--k",
        "1,inf",
        "--bundle",
        &bundle,
        "--manifest",
        &manifest,
        "--json",
        &json,
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((&report["text"], report["results"].as_array().unwrap().len()), (&Value::Bool(true), 2));
    assert!(report["results"][0]["bleu"].is_number() && report["results"][0]["wer"].is_null(), "{report}");
    let pairs = scratch.file("pairs.tsv", b"good morning\tGuten Morgen\n");
    let again = decalage(&["evaluate", "--k", "1,inf", "--bundle", &bundle, "--pairs", &pairs]);
    let scores = |run: &str| {
        run.lines().map(|line| line.split_whitespace().take(9).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(scores(&again.stdout), scores(&run.stdout));
}

#[test]
fn a_compressed_bundle_is_smaller_and_still_translates() {
    let scratch = Scratch::new("compress");
    let bundle = scratch.bundle().display().to_string();
    let size = |folder: &str, name: &str| std::fs::metadata(format!("{folder}/{name}")).unwrap().len();
    let mut sizes = vec![size(&bundle, "model.safetensors")];
    for (name, options) in [("int8", &["--int8"][..]), ("pruned", &["--int8", "--prune", "0.4"])] {
        let out = scratch.path(name);
        let run = decalage(&[&["compress", &bundle, "--out", &out], options].concat());
        assert_eq!(run.code, 0, "{run:?}");
        sizes.push(size(&out, "model.safetensors.gz"));
        let said = |bundle: &str| decalage(&["translate", "--bundle", bundle, &clip("reference.wav")]);
        assert_eq!(said(&out).code, 0);
        let run = decalage(&["info", &out]);
        assert!(run.code == 0 && run.stdout.contains("to read text"), "{run:?}");
    }
    assert!(sizes[0] > 3 * sizes[1] / 2 && sizes[1] > sizes[2], "{sizes:?}");
    let run = decalage(&["compress", &bundle, "--out", &bundle]);
    assert!(run.code == 1 && run.stderr.contains("another folder"), "{run:?}");
}
