//! Checkpoints: everything that a run needs to go on, in one safetensors file.
//!
//! Parameters are stored under their own names, the optimiser's vectors whole, the rest as metadata.
//! Invariant: a file appears whole or not at all.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use super::TrainError;
use super::adam::{Adam, Entry, Parameters};

const FIRST: &str = "adam.first";
const SECOND: &str = "adam.second";
const AVERAGE: &str = "adam.average";

/// Writes parameters, optimiser and metadata.
pub(crate) fn save(
    path: &Path,
    parameters: &Parameters,
    adam: &Adam,
    metadata: HashMap<String, String>,
) -> Result<(), TrainError> {
    let values = bytes(&parameters.values)?;
    let vectors = [(FIRST, bytes(&adam.first)?), (SECOND, bytes(&adam.second)?), (AVERAGE, bytes(&adam.average)?)];
    let wrong = |e: safetensors::SafeTensorError| TrainError::Checkpoint { path: path.into(), message: e.to_string() };
    let mut views = Vec::new();
    for entry in &parameters.entries {
        let (start, end) = (entry.offset as usize * 4, (entry.offset + entry.numel()) as usize * 4);
        let shape = entry.shape.iter().map(|&n| n as usize).collect();
        views.push((entry.name.clone(), TensorView::new(Dtype::F32, shape, &values[start..end]).map_err(wrong)?));
    }
    for (name, data) in &vectors {
        views.push(((*name).to_owned(), TensorView::new(Dtype::F32, vec![data.len() / 4], data).map_err(wrong)?));
    }
    let whole = safetensors::serialize(views, Some(metadata)).map_err(wrong)?;
    let partial = path.with_extension("tmp");
    fs::write(&partial, whole).map_err(TrainError::file(&partial))?;
    fs::rename(&partial, path).map_err(TrainError::file(path))
}

/// Restores a run: every parameter and the optimiser. Returns the metadata.
pub(crate) fn resume(
    path: &Path,
    parameters: &mut Parameters,
    adam: &mut Adam,
) -> Result<HashMap<String, String>, TrainError> {
    let data = read(path)?;
    let file = parse(path, &data)?;
    let mut loaded = 0;
    for entry in &parameters.entries {
        if let Ok(tensor) = tensor(path, &file, &entry.name)
            && tensor.size() == entry.shape
        {
            entry.view(&parameters.values).copy_(&tensor);
            loaded += 1;
        }
    }
    if loaded < parameters.entries.len() {
        let message = format!("{loaded} of {} parameters; is it another task's?", parameters.entries.len());
        return Err(TrainError::Checkpoint { path: path.into(), message });
    }
    for (name, vector) in [(FIRST, &mut adam.first), (SECOND, &mut adam.second), (AVERAGE, &mut adam.average)] {
        let tensor = tensor(path, &file, name)?;
        if tensor.size() != vector.size() {
            let message = format!("{name} has {} numbers, the model {}", tensor.numel(), vector.numel());
            return Err(TrainError::Checkpoint { path: path.into(), message });
        }
        vector.copy_(&tensor);
    }
    let (_, header) = SafeTensors::read_metadata(&data)
        .map_err(|e| TrainError::Checkpoint { path: path.into(), message: e.to_string() })?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// Copies the averaged parameters of a checkpoint whose names begin with `part`; returns how many. Those that have
/// another shape here, or are not here at all, are left out.
pub(crate) fn init(path: &Path, part: &str, parameters: &mut Parameters) -> Result<usize, TrainError> {
    let averaged = weights_of(path, Which::Average)?;
    let mut loaded = 0;
    for entry in parameters.entries.iter().filter(|entry| entry.name.starts_with(part)) {
        if let Some((_, tensor)) = averaged.iter().find(|(name, t)| *name == entry.name && t.size() == entry.shape) {
            entry.view(&parameters.values).copy_(tensor);
            loaded += 1;
        }
    }
    if loaded == 0 {
        let message = format!("no parameter named {part}… that fits this model");
        return Err(TrainError::Checkpoint { path: path.into(), message });
    }
    Ok(loaded)
}

/// Which of a checkpoint's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Their running average, over some 800 updates: while the rate has not fallen, better than any of them.
    Average,
    /// Those of the last update: where the rate has fallen to zero there is nothing to average, and they have learnt more.
    Last,
}

/// A checkpoint's parameters, by name: what gets exported. Of a bundle's weights, the weights.
///
/// # Errors
/// If the file cannot be read, or is no checkpoint.
pub fn weights_of(path: &Path, which: Which) -> Result<Vec<(String, Tensor)>, TrainError> {
    let data = read(path)?;
    let file = parse(path, &data)?;
    let mut names: Vec<&str> = file.names().into_iter().filter(|name| !name.starts_with("adam.")).collect();
    names.sort_unstable();
    let average = (which == Which::Average).then(|| tensor(path, &file, AVERAGE).ok()).flatten();
    let mut offset = 0;
    let mut weights = Vec::new();
    for name in names {
        let own = tensor(path, &file, name)?;
        let entry = Entry { name: name.to_owned(), offset, shape: own.size() };
        offset += entry.numel();
        let weight = average.as_ref().map_or(own, |average| entry.view(average));
        weights.push((entry.name, weight));
    }
    Ok(weights)
}

fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    fs::read(path).map_err(TrainError::file(path))
}

fn parse<'a>(path: &Path, data: &'a [u8]) -> Result<SafeTensors<'a>, TrainError> {
    SafeTensors::deserialize(data).map_err(|e| TrainError::Checkpoint { path: path.into(), message: e.to_string() })
}

fn tensor(path: &Path, file: &SafeTensors<'_>, name: &str) -> Result<Tensor, TrainError> {
    let view =
        file.tensor(name).map_err(|_| TrainError::Checkpoint { path: path.into(), message: format!("no {name}") })?;
    let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    let kind = if view.dtype() == Dtype::F16 { Kind::Half } else { Kind::Float };
    Ok(Tensor::f_from_data_size(view.data(), &shape, kind)?.to_kind(Kind::Float))
}

fn bytes(values: &Tensor) -> Result<Vec<u8>, TrainError> {
    let values = values.to_device(Device::Cpu);
    let mut bytes = vec![0; values.numel() * 4];
    values.f_copy_data_u8(&mut bytes, values.numel())?;
    Ok(bytes)
}
