//! Weights to and from a safetensors file, by parameter name.
//!
//! Invariant: a file fits if it has exactly the model's names and shapes, no fewer and no more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, TchError, Tensor, nn};
use thiserror::Error;

use super::compress::{dequantize, inflate};
use super::packed::Products;
use super::{ModelConfig, SpeechTranslator, TextTranslator};

/// Weights that do not fit.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Which file.
        path: PathBuf,
        /// The first line of libtorch's complaint.
        message: String,
    },
    /// A parameter is missing, unknown or of another shape.
    #[error("{path}: parameter {name} is {found}, the config says {expected}")]
    Parameter {
        /// Which file.
        path: PathBuf,
        /// Which parameter.
        name: String,
        /// Its shape in the file.
        found: String,
        /// Its shape in the model.
        expected: String,
    },
}

impl SpeechTranslator {
    /// Builds the network of `config` to serve and fills it from a file, whatever its weights are stored as. On a CPU matrix
    /// products are those of f16 weights, in f32.
    pub fn load(path: &Path, config: &ModelConfig, device: Device) -> Result<Self, WeightsError> {
        filled(path, device, |root| Self::with_products(root, config, &Products::to_serve(device)))
    }
}

impl TextTranslator {
    /// As [`SpeechTranslator::load`], for `vocab` source pieces.
    pub fn load(path: &Path, vocab: usize, config: &ModelConfig, device: Device) -> Result<Self, WeightsError> {
        filled(path, device, |root| Self::with_products(root, vocab, config, &Products::to_serve(device)))
    }
}

fn filled<M>(path: &Path, device: Device, build: impl FnOnce(&nn::Path<'_>) -> M) -> Result<M, WeightsError> {
    let mut store = nn::VarStore::new(device);
    let model = build(&store.root());
    let mut found: BTreeMap<String, Tensor> = read_weights(path)?.into_iter().collect();
    for (name, mut variable) in store.variables() {
        let tensor = found.remove(&name);
        let shape = tensor.as_ref().map(Tensor::size);
        let Some(tensor) = tensor.filter(|t| t.size() == variable.size()) else {
            return Err(mismatch(path, name, shape, Some(variable.size())));
        };
        tch::no_grad(|| variable.f_copy_(&tensor)).map_err(|e| file_error(path, &e))?;
    }
    if let Some((name, tensor)) = found.pop_first() {
        return Err(mismatch(path, name, Some(tensor.size()), None));
    }
    store.freeze();
    Ok(model)
}

/// Reads parameters by name, in f32 whatever they are stored as: f32, f16, or int8 with scales, deflated or not.
pub fn read_weights(path: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let failed = |message: String| WeightsError::File { path: path.to_owned(), message };
    let data = inflate(path).map_err(|e| failed(e.to_string()))?;
    let file = SafeTensors::deserialize(&data).map_err(|e| failed(e.to_string()))?;
    let tensor = |(name, view): (String, TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::I8 => Kind::Int8,
            other => return Err(failed(format!("{name} is {other:?}, allowed: F32, F16, I8"))),
        };
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        Ok((name, Tensor::f_from_data_size(view.data(), &shape, kind).map_err(|e| file_error(path, &e))?))
    };
    Ok(dequantize(file.tensors().into_iter().map(tensor).collect::<Result<_, _>>()?))
}

/// Writes parameters by name, as f16 where `half` is set.
pub fn save_weights(path: &Path, weights: &[(String, Tensor)], half: bool) -> Result<(), WeightsError> {
    let kind = if half { Kind::Half } else { Kind::Float };
    let weights: Vec<(&str, Tensor)> =
        weights.iter().map(|(name, t)| (name.as_str(), t.to_kind(kind).contiguous())).collect();
    Tensor::write_safetensors(&weights, path).map_err(|e| file_error(path, &e))
}

fn file_error(path: &Path, error: &TchError) -> WeightsError {
    let message = error.to_string().lines().next().unwrap_or_default().to_owned();
    WeightsError::File { path: path.to_owned(), message }
}

fn mismatch(path: &Path, name: String, found: Option<Vec<i64>>, expected: Option<Vec<i64>>) -> WeightsError {
    let shown = |shape: Option<Vec<i64>>| shape.map_or("absent".to_owned(), |shape| format!("{shape:?}"));
    WeightsError::Parameter { path: path.to_owned(), name, found: shown(found), expected: shown(expected) }
}
