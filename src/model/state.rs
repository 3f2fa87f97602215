//! The state of utterances as a value: made of tensors whose leading dimension is the batch.
//!
//! Every step makes new tensors and changes none, so a clone shares storage safely. Invariant: stacking, stepping and
//! unstacking gives each utterance what it would have got alone.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};
use thiserror::Error;

use super::attention::AttentionState;
use super::decoder::{CrossState, DecoderState};
use super::encoder::EncoderState;
use super::lsra::LsraState;
use super::subsample::SubsampleState;

/// Version of [`State::to_bytes`].
const VERSION: &str = "1";

/// All that a model remembers of one utterance (or, inside a step, of a batch of them).
#[derive(Debug)]
pub struct State {
    pub(crate) encoder: EncoderState,
    pub(crate) decoder: DecoderState,
    pub(crate) cross: CrossState,
}

/// What hypotheses go on from, one a row.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) decoder: DecoderState,
    pub(crate) cross: CrossState,
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        self.shallow()
    }
}

/// Bytes that are not a state of this model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// Not a safetensors container, or a damaged one.
    #[error("state bytes are damaged: {0}")]
    Damaged(String),
    /// Written by another version of this program.
    #[error("state version is {0}, allowed: {VERSION}")]
    Version(String),
    /// Written for another model.
    #[error("state tensor {index} is {found}, this model's is {expected}")]
    Shape {
        /// Which tensor.
        index: usize,
        /// Kind and shape found.
        found: String,
        /// Kind and shape wanted.
        expected: String,
    },
}

/// A structure of tensors that can be taken apart and put together again.
pub(crate) trait Leaves: Sized {
    /// Appends shallow clones of the tensors, in a fixed order.
    fn leaves(&self, out: &mut Vec<Tensor>);

    /// A structure like this one made of other tensors, taken in that order.
    fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self;

    /// Cuts off the padding that stacking added, else memories would grow to the longest neighbour's.
    fn trim(&mut self) {}
}

impl Leaves for Tensor {
    fn leaves(&self, out: &mut Vec<Tensor>) {
        out.push(self.shallow_clone());
    }

    fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self {
        next()
    }
}

impl<T: Leaves> Leaves for Vec<T> {
    fn leaves(&self, out: &mut Vec<Tensor>) {
        self.iter().for_each(|item| item.leaves(out));
    }

    fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self {
        self.iter().map(|item| item.rebuild(next)).collect()
    }

    fn trim(&mut self) {
        self.iter_mut().for_each(T::trim);
    }
}

impl<T: Leaves> Leaves for Option<T> {
    fn leaves(&self, out: &mut Vec<Tensor>) {
        self.iter().for_each(|item| item.leaves(out));
    }

    fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self {
        self.as_ref().map(|item| item.rebuild(next))
    }
}

/// Implements [`Leaves`] for a struct, field by field.
macro_rules! leaves {
    ($name:ident { $($field:ident),+ }) => {
        impl Leaves for $name {
            fn leaves(&self, out: &mut Vec<Tensor>) {
                $(self.$field.leaves(out);)+
            }

            fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self {
                Self { $($field: self.$field.rebuild(next)),+ }
            }

            fn trim(&mut self) {
                $(self.$field.trim();)+
            }
        }
    };
}

leaves!(SubsampleState { past });
leaves!(LsraState { attention, ring });
leaves!(EncoderState { subsample, layers, steps });
leaves!(DecoderState { layers, tokens });
leaves!(CrossState { layers, steps });
leaves!(State { encoder, decoder, cross });
leaves!(Rows { decoder, cross });

impl Leaves for AttentionState {
    fn leaves(&self, out: &mut Vec<Tensor>) {
        match self {
            Self::Sums { s, z } => out.extend([s.shallow_clone(), z.shallow_clone()]),
            Self::Memory { inputs, lengths } => out.extend([inputs.shallow_clone(), lengths.shallow_clone()]),
        }
    }

    fn rebuild(&self, next: &mut dyn FnMut() -> Tensor) -> Self {
        match self {
            Self::Sums { .. } => Self::Sums { s: next(), z: next() },
            Self::Memory { .. } => Self::Memory { inputs: next(), lengths: next() },
        }
    }

    fn trim(&mut self) {
        if let Self::Memory { inputs, lengths } = self {
            let longest = lengths.max().int64_value(&[]);
            if longest < inputs.size()[1] {
                *inputs = inputs.narrow(1, 0, longest);
            }
        }
    }
}

/// Joins structures of a row, or some, to one of many rows. Memories of different lengths are padded.
pub(crate) fn stack<T: Leaves>(rows: &[&T]) -> T {
    let columns: Vec<Vec<Tensor>> = rows.iter().map(|row| leaves_of(*row)).collect();
    let mut index = 0;
    rows[0].rebuild(&mut || {
        let column: Vec<Tensor> = columns.iter().map(|leaves| leaves[index].shallow_clone()).collect();
        index += 1;
        if column.len() == 1 { column[0].shallow_clone() } else { Tensor::cat(&padded(column), 0) }
    })
}

/// Splits a structure of `count` rows; the rows own their storage.
pub(crate) fn unstack<T: Leaves>(whole: &T, count: usize) -> Vec<T> {
    let row = |row| {
        let mut one = if count == 1 { whole.shallow() } else { map(whole, |leaf| leaf.narrow(0, row, 1).copy()) };
        one.trim();
        one
    };
    (0..count as i64).map(row).collect()
}

/// Takes rows by number, as a beam search does; nothing is copied where that changes nothing.
pub(crate) fn select<T: Leaves>(whole: &T, rows: &[i64]) -> T {
    let leaves = leaves_of(whole);
    let count = leaves.first().map_or(0, |leaf| leaf.size()[0]);
    if rows.iter().copied().eq(0..count) {
        return whole.shallow();
    }
    let device = leaves.first().map_or(Device::Cpu, Tensor::device);
    let index = Tensor::from_slice(rows).to_device(device);
    let mut selected = map(whole, |leaf| leaf.index_select(0, &index));
    selected.trim();
    selected
}

/// A clone that shares storage.
pub(crate) trait Shallow {
    fn shallow(&self) -> Self;
}

impl<T: Leaves> Shallow for T {
    fn shallow(&self) -> Self {
        map(self, Tensor::shallow_clone)
    }
}

/// The same structure with each tensor replaced.
fn map<T: Leaves>(whole: &T, replace: impl Fn(&Tensor) -> Tensor) -> T {
    let leaves = leaves_of(whole);
    let mut index = 0;
    whole.rebuild(&mut || {
        index += 1;
        replace(&leaves[index - 1])
    })
}

fn leaves_of<T: Leaves>(item: &T) -> Vec<Tensor> {
    let mut leaves = Vec::new();
    item.leaves(&mut leaves);
    leaves
}

fn padded(column: Vec<Tensor>) -> Vec<Tensor> {
    let width = |t: &Tensor| t.size().get(1).copied().unwrap_or(0);
    let longest = column.iter().map(width).max().unwrap_or(0);
    let pad = |t: Tensor| match longest - width(&t) {
        0 => t,
        missing => t.constant_pad_nd([0, 0, 0, missing]),
    };
    column.into_iter().map(pad).collect()
}

impl Clone for State {
    fn clone(&self) -> Self {
        self.shallow()
    }
}

impl State {
    /// Whether anything has been encoded: before that there is nothing to decode from.
    pub fn has_heard(&self) -> bool {
        self.encoder.steps.min().int64_value(&[]) > 0
    }

    /// Size of the state's numbers, in bytes.
    pub fn num_bytes(&self) -> usize {
        leaves_of(self).iter().map(|t| t.numel() * t.kind().elt_size_in_bytes()).sum()
    }

    /// The state as a safetensors container of versioned, unnamed tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let leaves = leaves_of(self);
        let damaged = |e: &dyn std::fmt::Display| StateError::Damaged(e.to_string());
        let mut data = Vec::with_capacity(leaves.len());
        for leaf in &leaves {
            let leaf = leaf.to_device(Device::Cpu).contiguous();
            let mut bytes = vec![0; leaf.numel() * leaf.kind().elt_size_in_bytes()];
            leaf.f_copy_data_u8(&mut bytes, leaf.numel()).map_err(|e| damaged(&e))?;
            data.push((dtype(leaf.kind()), shape(&leaf), bytes));
        }
        let mut views = Vec::with_capacity(data.len());
        for (index, (dtype, shape, bytes)) in data.iter().enumerate() {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| damaged(&e))?;
            views.push((format!("{index:04}"), view));
        }
        let version = [("version".to_owned(), VERSION.to_owned())].into();
        safetensors::serialize(views, Some(version)).map_err(|e| damaged(&e))
    }

    /// The inverse of [`State::to_bytes`]. `self` is a fresh state of the same model: the kinds and shapes to expect.
    pub fn with_bytes(&self, bytes: &[u8]) -> Result<Self, StateError> {
        let damaged = |e: safetensors::SafeTensorError| StateError::Damaged(e.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let version = header.metadata().as_ref().and_then(|m| m.get("version")).cloned().unwrap_or_default();
        if version != VERSION {
            return Err(StateError::Version(format!("{version:?}")));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut found = Vec::new();
        for (index, expected) in leaves_of(self).iter().enumerate() {
            let view = tensors.tensor(&format!("{index:04}")).map_err(damaged)?;
            if view.dtype() != dtype(expected.kind()) || !fits(view.shape(), &shape(expected)) {
                return Err(StateError::Shape {
                    index,
                    found: format!("{:?} {:?}", view.dtype(), view.shape()),
                    expected: format!("{:?} {:?}", dtype(expected.kind()), shape(expected)),
                });
            }
            let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &size, expected.kind())
                .map_err(|e| StateError::Damaged(e.to_string()))?;
            // Numbers of steps, tokens and keys: those lead to memory.
            if expected.kind() == Kind::Int64 && tensor.numel() > 0 && tensor.min().int64_value(&[]) < 0 {
                return Err(StateError::Damaged(format!("tensor {index} counts below 0")));
            }
            found.push(tensor.to_device(expected.device()));
        }
        let mut found = found.into_iter();
        Ok(self.rebuild(&mut || found.next().unwrap_or_default()))
    }
}

/// Only a memory's length may differ from a fresh state's, where it is 0.
fn fits(found: &[usize], fresh: &[usize]) -> bool {
    found.len() == fresh.len() && found.iter().zip(fresh).enumerate().all(|(d, (f, e))| f == e || (d == 1 && *e == 0))
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&n| n as usize).collect()
}

fn dtype(kind: Kind) -> Dtype {
    match kind {
        Kind::Int64 => Dtype::I64,
        _ => Dtype::F32, // a state has no third kind: see the module's header
    }
}
