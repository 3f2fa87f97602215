//! The rules of the source tree, checked: who may use whom, how long a file may be, what is described where.
//!
//! [`ALLOWED`] and [`FORBIDDEN`] are the import rule of `src/lib.rs`. The rules read the code as tokens, so comments and
//! strings may name anything; the last test plants a violation of each rule and demands that it is named.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::{File, all_files};

/// What of ours each module may use, besides itself. A file's own entry counts instead of its module's.
const ALLOWED: &[(&str, &[&str])] = &[
    ("audio", &[]),
    ("features", &[]),
    ("text", &[]),
    ("policy", &[]),
    ("eval", &[]),
    ("model", &[]),
    ("plot", &[]),
    ("subtitles.rs", &["session"]),
    ("session", &["features", "policy", "text"]),
    ("protocol", &["audio", "session"]),
    ("client", &["audio", "protocol"]),
    ("bundle.rs", &["features", "model", "text"]),
    ("engine", &["bundle", "policy", "session", "telemetry", "text"]),
    ("engine/tests.rs", &["features", "policy", "session", "telemetry"]),
    ("engine/torch.rs", &["bundle", "model", "session", "text"]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("server", &["audio", "config", "engine", "policy", "protocol", "session", "subtitles", "telemetry"]),
    ("train", &["audio", "bundle", "eval", "features", "model", "plot", "text"]),
    // Wiring: the program uses the library from outside, as anybody would.
    ("cli", &["cli"]),
    ("main.rs", &["cli"]),
    ("lib.rs", &[]),
];

/// Who alone may name a crate, or a part of the standard library. No entry here, no rule.
const RESERVED: &[(&str, &[&str])] = &[
    ("tch", &["model", "train", "engine/torch.rs", "cli", "main.rs"]),
    ("torch_sys", &[]),
    ("anyhow", &["cli", "main.rs"]),
    ("clap", &["cli", "main.rs"]),
    ("indicatif", &["cli", "train"]),
    ("plotters", &["plot"]),
    ("tokio", &["engine", "server", "client", "cli"]),
    ("tokio_tungstenite", &["server", "client"]),
    ("axum", &["server"]),
    ("rust_embed", &["server/page.rs"]),
    ("figment", &["config"]),
    ("prometheus_client", &["telemetry"]),
];

/// What a module of pure logic leaves to its callers: the clock, the disk, the network, threads.
const FORBIDDEN_STD: &[(&str, &[&str])] = &[
    ("session", &["time", "fs", "net", "thread", "process", "env"]),
    ("protocol", &["time", "fs", "net", "thread", "process", "env"]),
    ("policy", &["time", "fs", "net", "thread", "process", "env"]),
    ("features", &["time", "fs", "net", "thread", "process", "env"]),
];

/// Words that no code may contain, and why.
const BANNED: &[(&[&str], &str)] = &[
    (&["todo", "!"], "unfinished code stays on a branch"),
    (&["unimplemented", "!"], "unfinished code stays on a branch"),
    (&["#", "[", "ignore"], "a test that does not run proves nothing"),
];

const MAX_LINES: usize = 500;

#[test]
fn modules_use_only_what_the_import_rule_allows() {
    report(rust("src").iter().flat_map(imports));
}

#[test]
fn the_crate_s_documentation_shows_the_import_rule() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let shown: Vec<&str> = lib.lines().filter(|line| line.starts_with("//! | `")).collect();
    let row = |(module, uses): &(&str, &[&str])| {
        let uses: Vec<String> = uses.iter().map(|name| format!("`{name}`")).collect();
        format!("//! | `{module}` | {} |", if uses.is_empty() { "nothing".to_owned() } else { uses.join(", ") })
    };
    assert_eq!(shown, ALLOWED.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn crates_and_clocks_are_named_only_where_they_belong() {
    report(rust("src").iter().flat_map(|file| reserved(file).into_iter().chain(std_uses(file))));
}

#[test]
fn no_file_is_longer_than_the_cap() {
    let files = ["src", "tests", "benches", "scripts", "web"].iter().flat_map(|folder| all_files(&root().join(folder)));
    let files = files.filter(|path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        ["rs", "py", "js", "css", "sh"].contains(&extension)
    });
    report(files.filter_map(|path| too_long(&path.display().to_string(), &fs::read_to_string(&path).unwrap())));
}

#[test]
fn the_map_describes_every_module_and_nothing_else() {
    let modules = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().file_name());
    let modules: Vec<String> = modules.map(|name| name.to_str().unwrap().to_owned()).collect();
    report(undescribed(&fs::read_to_string(root().join("src/lib.rs")).unwrap(), &modules));
}

#[test]
fn every_file_is_compiled() {
    report(orphans(&rust("src")));
}

#[test]
fn every_file_says_what_it_is() {
    report(rust("src").iter().filter_map(headless));
}

#[test]
fn no_code_is_unfinished_and_no_test_is_switched_off() {
    report(["src", "tests", "benches"].iter().flat_map(|folder| rust(folder)).flat_map(|file| banned(&file)));
}

/// The self-test: what each rule says about a small tree that breaks all of them.
#[test]
fn planted_violations_are_named_with_file_and_line() {
    let planted = File::new;
    let session = planted(
        "src/session/vad.rs",
        "//! Says std::time, crate::audio and todo!() in a comment.\n\
         const TEXT: &str = \"use crate::audio; /* todo!() */\"; const QUOTE: char = '\"';\n\
         use crate::{features::Fbank, audio::codec::{Codec, policy}};\n\
         use super::super::train;\n\
         use std::{fmt, time::Instant};\n\
         fn wait<'a>() { crate::text::word(); ::std::thread::yield_now(); }\n\
         #[ignore = \"slow\"]\n\
         fn later() { todo!() }\n",
    );
    assert_eq!(
        imports(&session),
        [
            "src/session/vad.rs:3: `session` uses `audio`, allowed: features, policy, text",
            "src/session/vad.rs:4: `session` uses `train`, allowed: features, policy, text"
        ]
    );
    assert_eq!(
        std_uses(&session),
        ["src/session/vad.rs:5: `session` uses `std::time`", "src/session/vad.rs:6: `session` uses `std::thread`"]
    );
    assert_eq!(banned(&session).len(), 2);
    assert!(banned(&session)[0].starts_with("src/session/vad.rs:8: `todo!`"));
    assert!(banned(&session)[1].starts_with("src/session/vad.rs:7: `#[ignore`"));

    let engine = |name: &str| planted(name, "use tch::Tensor;\nuse crate::model::State;\n");
    assert_eq!(imports(&engine("src/engine/torch.rs")), Vec::<String>::new());
    assert_eq!(reserved(&engine("src/engine/torch.rs")), Vec::<String>::new());
    assert_eq!(
        imports(&engine("src/engine/worker.rs")),
        ["src/engine/worker.rs:2: `engine` uses `model`, allowed: bundle, policy, session, telemetry, text"]
    );
    assert_eq!(reserved(&engine("src/engine/worker.rs")).len(), 1);
    assert_eq!(imports(&planted("src/attic.rs", "")), ["src/attic.rs: no entry in the import rule"]);

    assert_eq!(headless(&engine("src/a.rs")).as_deref(), Some("src/a.rs:1: no header `//!`"));
    assert_eq!(too_long("a.py", &"x\n".repeat(MAX_LINES)), None);
    assert_eq!(too_long("a.py", &"x\n".repeat(MAX_LINES + 1)).as_deref(), Some("a.py: 501 lines, allowed: 500"));
    let tree = [
        planted("src/lib.rs", "//! mod b;\npub mod a;"),
        planted("src/a/mod.rs", "mod c;"),
        planted("src/a/c.rs", ""),
        planted("src/a/d.rs", ""),
        planted("src/b.rs", ""),
    ];
    assert_eq!(orphans(&tree), ["src/a/d.rs: no `mod d;` declares it", "src/b.rs: no `mod b;` declares it"]);
    let modules = ["lib.rs", "audio", "bundle.rs"].map(str::to_owned);
    assert_eq!(
        undescribed("//! audio/     bytes to samples\n//! bundle.rs\n//! attic/  old things\n", &modules),
        ["src/lib.rs: no line describes bundle.rs", "src/lib.rs: attic/ is described but does not exist"]
    );
}

fn imports(file: &File) -> Vec<String> {
    let module = file.module();
    let Some((_, allowed)) = entry(ALLOWED, file) else {
        return vec![format!("{}: no entry in the import rule", file.path)];
    };
    let modules: Vec<&str> = ALLOWED.iter().map(|(name, _)| name.trim_end_matches(".rs")).collect();
    let wrong = |name: &str| name != module && modules.contains(&name) && !allowed.contains(&name);
    let uses = file.paths_from("crate").into_iter().chain(file.paths_from_super());
    uses.filter(|(_, name)| wrong(name))
        .map(|(line, name)| {
            let allowed = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
            format!("{}:{line}: `{module}` uses `{name}`, allowed: {allowed}", file.path)
        })
        .collect()
}

fn reserved(file: &File) -> Vec<String> {
    let strangers = RESERVED.iter().filter(|(_, owners)| !owners.iter().any(|owner| file.is_in(owner)));
    let uses = strangers.flat_map(|(name, owners)| {
        let line = file.lines_naming(&[name]).into_iter().next()?;
        let owners = if owners.is_empty() { "nobody".to_owned() } else { owners.join(", ") };
        Some(format!("{}:{line}: names the crate `{name}`, allowed to: {owners}", file.path))
    });
    uses.collect()
}

fn std_uses(file: &File) -> Vec<String> {
    let Some((module, forbidden)) = entry(FORBIDDEN_STD, file) else {
        return Vec::new();
    };
    let uses = file.paths_from("std").into_iter().filter(|(_, name)| forbidden.contains(&name.as_str()));
    uses.map(|(line, name)| format!("{}:{line}: `{module}` uses `std::{name}`", file.path)).collect()
}

fn banned(file: &File) -> Vec<String> {
    let found = |(words, why): &(&[&str], &str)| {
        let lines = file.lines_naming(words).into_iter();
        lines.map(|line| format!("{}:{line}: `{}`: {why}", file.path, words.concat())).collect::<Vec<_>>()
    };
    BANNED.iter().flat_map(found).collect()
}

/// Files that no other one declares, so that no compiler has read them.
fn orphans(files: &[File]) -> Vec<String> {
    let orphan = |file: &File| {
        let path = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let (folder, name) = path.rsplit_once('/')?;
        let parents = [format!("{folder}/mod.rs"), format!("{folder}.rs"), "src/lib.rs".into(), "src/main.rs".into()];
        let parents = if folder == "src" { &parents[2..] } else { &parents[..2] };
        let mut parents = files.iter().filter(|parent| parents.contains(&parent.path));
        let missing = !parents.any(|parent| !parent.lines_naming(&["mod", name, ";"]).is_empty());
        missing.then(|| format!("{}: no `mod {name};` declares it", file.path))
    };
    let roots = ["src/lib.rs", "src/main.rs"];
    files.iter().filter(|file| !roots.contains(&file.path.as_str())).filter_map(orphan).collect()
}

fn headless(file: &File) -> Option<String> {
    (!file.text.starts_with("//!")).then(|| format!("{}:1: no header `//!`", file.path))
}

fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, allowed: {MAX_LINES}"))
}

/// A module is described by a line of the crate's docs that begins with its file name and goes on.
fn undescribed(lib: &str, modules: &[String]) -> Vec<String> {
    let docs = lib.lines().filter_map(|line| line.strip_prefix("//!"));
    let described = docs.filter_map(|line| line.trim().split_once("  ")).map(|(name, _)| name);
    let described: Vec<&str> = described.filter(|name| name.ends_with(".rs") || name.ends_with('/')).collect();
    let name = |module: &String| if module.ends_with(".rs") { module.clone() } else { format!("{module}/") };
    let names: Vec<String> = modules.iter().map(name).filter(|name| name != "lib.rs").collect();
    let missing = names.iter().filter(|name| !described.contains(&name.as_str()));
    let gone = described.iter().filter(|name| !names.iter().any(|n| n == *name));
    missing
        .map(|name| format!("src/lib.rs: no line describes {name}"))
        .chain(gone.map(|name| format!("src/lib.rs: {name} is described but does not exist")))
        .collect()
}

/// The entry for a file itself, or for the module that it belongs to.
fn entry<'a, T>(table: &'a [(&'a str, T)], file: &File) -> Option<&'a (&'a str, T)> {
    let own = table.iter().find(|(name, _)| file.path == format!("src/{name}"));
    own.or_else(|| table.iter().find(|(name, _)| file.is_in(name)))
}

fn report(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<String> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

fn rust(folder: &str) -> Vec<File> {
    let folder = root().join(folder);
    let files: Vec<PathBuf> =
        all_files(&folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")).collect();
    assert!(!files.is_empty(), "{}: no Rust file", folder.display());
    let file = |path: &PathBuf| {
        let relative = path.strip_prefix(root()).unwrap().to_str().unwrap();
        File::new(relative, &fs::read_to_string(path).unwrap())
    };
    files.iter().map(file).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
