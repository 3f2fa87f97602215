//! Reads one `models/` folder and proves that its parts fit together.
//!
//! `manifest.json` lists every file with its SHA-256; `config.json` shapes the network; two tokenizers, the filterbank's
//! statistics and the weights complete it. Invariant: what [`Bundle::open`] returns can be served as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::features::{Cmvn, FbankConfig, FeatureError};
use crate::model::{ConfigError, ModelConfig};
use crate::text::{Language, TextError, Tokenizer};

/// Version of the folder's layout.
const FORMAT: u32 = 1;
/// The file that lists the others, without which a folder is no bundle.
pub const MANIFEST: &str = "manifest.json";
const CONFIG: &str = "config.json";
const SOURCE: &str = "tokenizer-source.json";
const TARGET: &str = "tokenizer-target.json";
const CMVN: &str = "cmvn.json";
const LANGUAGE: &str = "language.bin";
/// The weights.
pub const WEIGHTS: &str = "model.safetensors";
/// Behind the name of weights that are deflated.
pub const DEFLATED: &str = ".gz";
/// What a bundle that can also read has besides: the network's weights,
pub const TEXT_WEIGHTS: &str = "text.safetensors";
/// and its source pieces.
pub const TEXT_SOURCE: &str = "tokenizer-text.json";

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleConfig {
    /// Version of the folder's layout.
    pub format: u32,
    /// Source language, ISO 639-1.
    pub source_language: String,
    /// Target language, ISO 639-1.
    pub target_language: String,
    /// The filterbank.
    pub features: FbankConfig,
    /// The network.
    pub model: ModelConfig,
}

/// `manifest.json`: file names and the SHA-256 of their contents, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    files: BTreeMap<String, String>,
}

/// All of a bundle but the weights: what training starts from.
#[derive(Debug)]
pub struct Assets {
    /// `config.json`.
    pub config: BundleConfig,
    /// CTC labels.
    pub source: Tokenizer,
    /// Target pieces.
    pub target: Tokenizer,
    /// The filterbank's statistics.
    pub cmvn: Cmvn,
    /// What tells the source language from others, if the bundle has it.
    pub language: Option<Language>,
}

/// A bundle whose files are the ones that its manifest lists.
#[derive(Debug)]
pub struct Bundle {
    /// Everything but the weights.
    pub assets: Assets,
    /// The weights' file.
    pub weights: PathBuf,
    /// What reads text, if the bundle has it.
    pub text: Option<Text>,
    /// Short hash over the manifest: names the bundle in logs and scores.
    pub id: String,
}

/// The part of a bundle that translates text, with the decoder's shape and the target pieces of the rest.
#[derive(Debug)]
pub struct Text {
    /// The weights' file.
    pub weights: PathBuf,
    /// Source pieces.
    pub source: Tokenizer,
}

/// Why a folder is not a bundle.
#[derive(Debug, Error)]
pub enum BundleError {
    /// A file is missing or cannot be read.
    #[error("bundle file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the manifest says.
    #[error("bundle file {path} has sha256 {found}, the manifest says {expected}")]
    Hash {
        /// Which file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// A file that every bundle has is not in the manifest.
    #[error("{0} is not listed in the bundle's manifest")]
    Unlisted(&'static str),
    /// JSON that does not fit.
    #[error("bundle file {path} is not what it must be")]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Another layout.
    #[error("bundle format is {0}, allowed: {FORMAT}")]
    Format(u32),
    /// The network cannot be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The filterbank cannot be built.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A tokenizer cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Two parts disagree.
    #[error("{part} has {found} {what}, config.json says {expected}")]
    Mismatch {
        /// Which part.
        part: &'static str,
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
}

impl Assets {
    /// Reads a folder's files and checks that they agree; the manifest and the weights are not looked at.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let config: BundleConfig = read_versioned(&folder.join(CONFIG))?;
        config.model.validate()?;
        config.features.validate()?;
        let assets = Self {
            source: Tokenizer::from_file(folder.join(SOURCE))?,
            target: Tokenizer::from_file(folder.join(TARGET))?,
            cmvn: read_json(&folder.join(CMVN))?,
            language: language(&folder.join(LANGUAGE))?,
            config,
        };
        let model = &assets.config.model;
        equal(SOURCE, "tokens", assets.source.vocab_size(), model.source_vocab)?;
        equal(TARGET, "tokens", assets.target.vocab_size(), model.target_vocab)?;
        equal(CMVN, "bins", assets.cmvn.num_mel_bins(), model.num_mel_bins)?;
        equal("the filterbank", "bins", assets.config.features.num_mel_bins, model.num_mel_bins)?;
        Ok(assets)
    }

    /// Writes the files that [`Assets::open`] reads.
    pub fn save(&self, folder: &Path) -> Result<(), BundleError> {
        fs::create_dir_all(folder).map_err(file(folder))?;
        write(&folder.join(SOURCE), &self.source.to_bytes()?)?;
        write(&folder.join(TARGET), &self.target.to_bytes()?)?;
        write_json(&folder.join(CMVN), &self.cmvn)?;
        if let Some(language) = &self.language {
            write(&folder.join(LANGUAGE), &language.to_bytes())?;
        }
        write_json(&folder.join(CONFIG), &self.config)
    }
}

impl Bundle {
    /// Opens a folder: every listed file has its hash, and the parts fit together.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST);
        let manifest: Manifest = read_versioned(&path)?;
        let listed = |name| match manifest.files.contains_key(name) {
            true => Ok(()),
            false => Err(BundleError::Unlisted(name)),
        };
        [CONFIG, SOURCE, TARGET, CMVN].into_iter().try_for_each(listed)?;
        // Deflated or not.
        let weights = |name: &str| {
            let names = [name.to_owned(), name.to_owned() + DEFLATED];
            names.into_iter().find(|name| manifest.files.contains_key(name)).map(|name| folder.join(name))
        };
        for (name, expected) in &manifest.files {
            let path = folder.join(name);
            let found = hash(&fs::read(&path).map_err(file(&path))?);
            if found != *expected {
                return Err(BundleError::Hash { path, found, expected: expected.clone() });
            }
        }
        let mut id = hash(&fs::read(&path).map_err(file(&path))?);
        id.truncate(12);
        let text = |weights| {
            listed(TEXT_SOURCE)?;
            Ok::<_, BundleError>(Text { weights, source: Tokenizer::from_file(folder.join(TEXT_SOURCE))? })
        };
        let text = weights(TEXT_WEIGHTS).map(text).transpose()?;
        let weights = weights(WEIGHTS).ok_or(BundleError::Unlisted(WEIGHTS))?;
        let mut assets = Assets::open(folder)?;
        assets.language = assets.language.filter(|_| manifest.files.contains_key(LANGUAGE));
        Ok(Self { assets, weights, text, id })
    }

    /// Writes the manifest of a folder that [`Assets::save`] and the weights have filled.
    pub fn seal(folder: &Path) -> Result<(), BundleError> {
        let mut files = BTreeMap::new();
        let deflated = [WEIGHTS, TEXT_WEIGHTS].map(|name| name.to_owned() + DEFLATED);
        let names = [CONFIG, SOURCE, TARGET, CMVN, LANGUAGE, WEIGHTS, TEXT_WEIGHTS, TEXT_SOURCE].map(str::to_owned);
        for name in names.into_iter().chain(deflated) {
            let path = folder.join(&name);
            match fs::read(&path) {
                Ok(data) => drop(files.insert(name, hash(&data))),
                // What every bundle must have is asked for when it is opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(file(&path)(error)),
            }
        }
        write_json(&folder.join(MANIFEST), &Manifest { format: FORMAT, files })
    }
}

/// The format that [`BundleConfig::format`] must have.
pub fn format() -> u32 {
    FORMAT
}

fn equal(part: &'static str, what: &'static str, found: usize, expected: usize) -> Result<(), BundleError> {
    if found == expected { Ok(()) } else { Err(BundleError::Mismatch { part, what, found, expected }) }
}

fn hash(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> BundleError + '_ {
    |source| BundleError::File { path: path.to_owned(), source }
}

fn language(path: &Path) -> Result<Option<Language>, BundleError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Language::from_bytes(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path)(error)),
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, BundleError> {
    parse(path, &fs::read(path).map_err(file(path))?)
}

/// Looks at the version first: a newer file may have fields that are not known here, and they are not what is wrong.
fn read_versioned<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, BundleError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let data = fs::read(path).map_err(file(path))?;
    let Version { format } = parse(path, &data)?;
    if format == FORMAT { parse(path, &data) } else { Err(BundleError::Format(format)) }
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path, data: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(data).map_err(|source| BundleError::Json { path: path.to_owned(), source })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), BundleError> {
    let json = serde_json::to_vec_pretty(value);
    write(path, &json.map_err(|source| BundleError::Json { path: path.to_owned(), source })?)
}

fn write(path: &Path, data: &[u8]) -> Result<(), BundleError> {
    fs::write(path, data).map_err(file(path))
}
