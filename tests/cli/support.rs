//! A scratch folder with a tiny bundle, and the program's answers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use decalage::bundle::{Assets, Bundle, BundleConfig, TEXT_SOURCE, TEXT_WEIGHTS, WEIGHTS, format};
use decalage::features::{Cmvn, FbankConfig};
use decalage::model::{ModelConfig, SpeechTranslator, TextTranslator, save_weights};
use decalage::text::Tokenizer;
use tch::{Device, Kind, nn};

/// What the program did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_decalage"))
}

pub(crate) fn decalage(arguments: &[&str]) -> Run {
    program().args(arguments).output().unwrap().into()
}

/// A clip of `tests/fixtures/audio`: "Good morning, how are you?", 1.9 s.
pub(crate) fn clip(name: &str) -> String {
    format!("{}/tests/fixtures/audio/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// 16 kHz mono.
pub(crate) fn wav(samples: &[i16]) -> Vec<u8> {
    let num_bytes = samples.len() as u32 * 2;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + num_bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]); // PCM, mono
    file.extend(16_000_u32.to_le_bytes());
    file.extend(32_000_u32.to_le_bytes());
    file.extend([2, 0, 16, 0]); // bytes a frame, bits a sample
    file.extend(b"data");
    file.extend(num_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// A folder of its own for each test, removed in the end.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    bundle: PathBuf,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("decalage-cli-{name}-{}", std::process::id()));
        let bundle = folder.join("bundle");
        random_bundle(&bundle);
        Self { folder, bundle }
    }

    pub(crate) fn bundle(&self) -> &Path {
        &self.bundle
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.folder.join(name), bytes).unwrap();
        self.path(name)
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.arg("translate").arg("--bundle").arg(&self.bundle);
        command
    }

    pub(crate) fn translate(&self, files: &[&str], options: &[&str]) -> Run {
        self.command().args(options).args(files).output().unwrap().into()
    }

    pub(crate) fn translate_stdin(&self, bytes: Vec<u8>) -> Run {
        let mut command = self.command();
        command.args(["--stream", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs the program with this folder's libraries before all others.
    pub(crate) fn with_libraries(&self, arguments: &[&str]) -> Run {
        program().args(arguments).env("LD_LIBRARY_PATH", &self.folder).output().unwrap().into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Tokenizers of a few sentences, a network of a few thousand weights that means nothing by what it says.
fn random_bundle(folder: &Path) {
    let english = ["good morning how are you", "the quick brown fox jumps over the lazy dog"].repeat(3);
    let german = ["Guten Morgen, wie geht es dir?", "Der schnelle braune Fuchs springt über den Hund."].repeat(3);
    let source = Tokenizer::train_source(&english, 0).unwrap();
    let target = Tokenizer::train_cased(&german, 80).unwrap();
    let model = ModelConfig::tiny(source.vocab_size(), target.vocab_size());
    let (features, bins) = (FbankConfig::default(), model.num_mel_bins);
    let cmvn = Cmvn::new(vec![8.0; bins], vec![0.3; bins]).unwrap();
    let (source_language, target_language) = ("en".to_owned(), "de".to_owned());
    let config = BundleConfig { format: format(), source_language, target_language, features, model };
    Assets { config: config.clone(), source, target, cmvn, language: None }.save(folder).unwrap();
    tch::manual_seed(7);
    let store = nn::VarStore::new(Device::Cpu);
    let _network = SpeechTranslator::new(&store.root(), &config.model, Kind::Float);
    let weights: Vec<_> = store.variables().into_iter().collect();
    save_weights(&folder.join(WEIGHTS), &weights, true).unwrap();
    let text_source = Tokenizer::train_cased(&english, 60).unwrap();
    let store = nn::VarStore::new(Device::Cpu);
    let _network = TextTranslator::new(&store.root(), text_source.vocab_size(), &config.model, Kind::Float);
    let weights: Vec<_> = store.variables().into_iter().collect();
    save_weights(&folder.join(TEXT_WEIGHTS), &weights, true).unwrap();
    std::fs::write(folder.join(TEXT_SOURCE), text_source.to_bytes().unwrap()).unwrap();
    Bundle::seal(folder).unwrap();
}
