//! Weights to fewer bits: the smallest of a matrix to zero, the others to int8 with a scale for each output channel, the
//! whole with deflate, whose Huffman codes make zeros cheap (Lite Transformer, arXiv 2004.11886 §6, after Han et al. 2016).
//!
//! Invariant: only storage changes. What was loaded is f32 again, and so are all sums.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tch::{Kind, Tensor};

/// What a scale's name ends with.
const SCALE: &str = ".scale";
/// Larger than any model here, smaller than what could hurt.
const MAX_BYTES: u64 = 4 << 30;

/// A matrix with its `share` (0 to 1) of smallest weights set to zero; anything else as it is.
pub fn prune(weight: &Tensor, share: f64) -> Tensor {
    let count = (weight.numel() as f64 * share.clamp(0.0, 1.0)) as i64;
    if weight.dim() != 2 || count == 0 {
        return weight.shallow_clone();
    }
    let size = weight.abs();
    let (limit, _) = size.flatten(0, -1).kthvalue(count, 0, false);
    weight * size.gt_tensor(&limit)
}

/// A weight by its name in the file: matrices as int8 with the scales of their rows, anything else as f16.
pub fn quantize(name: &str, weight: &Tensor) -> Vec<(String, Tensor)> {
    if weight.dim() != 2 {
        return vec![(name.to_owned(), weight.to_kind(Kind::Half))];
    }
    let scale = weight.abs().amax([1].as_slice(), true).clamp_min(f64::from(f32::MIN_POSITIVE)) / 127.0;
    let values = (weight / &scale).round().to_kind(Kind::Int8);
    vec![(name.to_owned(), values), (name.to_owned() + SCALE, scale.squeeze_dim(1))]
}

/// The inverse of [`quantize`] over a whole file, in f32: a scale is no parameter of its own.
pub(super) fn dequantize(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    let (scales, weights): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|(name, _)| name.ends_with(SCALE));
    let widen = |(name, weight): (String, Tensor)| {
        let weight = weight.to_kind(Kind::Float);
        match scales.iter().find(|(scale, _)| scale.strip_suffix(SCALE) == Some(&name)) {
            Some((_, scale)) if scale.size()[..] == weight.size()[..1] => (name, weight * scale.unsqueeze(1)),
            _ => (name, weight),
        }
    };
    weights.into_iter().map(widen).collect()
}

/// Writes a file's contents again, deflated.
pub fn deflate(from: &Path, to: &Path) -> io::Result<()> {
    let mut out = GzEncoder::new(File::create(to)?, Compression::best());
    io::copy(&mut File::open(from)?, &mut out)?;
    out.finish()?.flush()
}

/// A file's contents, inflated where its name ends with `.gz`.
pub(super) fn inflate(path: &Path) -> io::Result<Vec<u8>> {
    let (mut data, file) = (Vec::new(), File::open(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).take(MAX_BYTES).read_to_end(&mut data)?;
    } else {
        file.take(MAX_BYTES).read_to_end(&mut data)?;
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_smallest_weights_go() {
        let weight = Tensor::from_slice(&[0.1f32, -3.0, 2.0, -0.2, 5.0, 0.3]).view([2, 3]);
        assert_eq!(prune(&weight, 0.5), Tensor::from_slice(&[0f32, -3.0, 2.0, 0.0, 5.0, 0.0]).view([2, 3]));
        assert_eq!(prune(&weight, 0.0), weight);
        let bias = Tensor::from_slice(&[0.1f32, 1.0]);
        assert_eq!(prune(&bias, 0.9), bias);
    }

    #[test]
    fn int8_is_off_by_half_a_step_of_its_row_at_most() {
        let scale = Tensor::from_slice(&[0.001f32, 1.0, 100.0]).unsqueeze(1);
        let weight = Tensor::randn([3, 50], (Kind::Float, Device::Cpu)) * &scale;
        let zero = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
        let bias = Tensor::from_slice(&[0.5f32, -0.25]);
        let stored: Vec<_> = [("a", &weight), ("zero", &zero), ("b.bias", &bias)]
            .into_iter()
            .flat_map(|(name, weight)| quantize(name, weight))
            .collect();
        let again = dequantize(stored);
        let names: Vec<&str> = again.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "zero", "b.bias"]);
        let step = weight.abs().amax([1].as_slice(), true) / 127.0;
        assert!(bool::try_from(((&again[0].1 - &weight).abs() / step).max().le(0.5001)).unwrap());
        assert_eq!((&again[1].1, &again[2].1), (&zero, &bias));
    }
}
