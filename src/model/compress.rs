//! Weights to fewer bits: the smallest of a matrix to zero, the others to int8 with a scale for each output channel, the
//! whole with deflate, whose Huffman codes make zeros cheap (Lite Transformer, arXiv 2004.11886 §6, after Han et al. 2016).
//!
//! Codes make every frequent number cheap, not zeros alone. Of all quantisers of a given entropy the one with equal steps is
//! within a quarter of a bit of the best there can be (Gish & Pierce 1968, "Asymptotically efficient quantizing"), so coarser
//! steps are what a smaller file is bought with, and pruning and clusters are not needed.
//!
//! Invariant: only storage changes. What was loaded is f32 again, and so are all sums.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::Crc;
use flate2::read::GzDecoder;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
    create_comp_flags_from_zip_params,
};
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

/// A weight by its name in the file: matrices as int8 with the scales of their rows, anything else as f16. A row's largest
/// weight is 127 or, if `bits` says how much information a weight may hold, less.
pub fn quantize(name: &str, weight: &Tensor, bits: Option<f64>) -> Vec<(String, Tensor)> {
    if weight.dim() != 2 {
        return vec![(name.to_owned(), weight.to_kind(Kind::Half))];
    }
    let finest = weight.abs().amax([1].as_slice(), true).clamp_min(f64::from(f32::MIN_POSITIVE)) / 127.0;
    let scale = bits.map_or(finest.shallow_clone(), |bits| coarser(weight, &finest, bits));
    let values = integers(weight, &scale).to_kind(Kind::Int8);
    vec![(name.to_owned(), values), (name.to_owned() + SCALE, scale.squeeze_dim(1))]
}

fn integers(weight: &Tensor, scale: &Tensor) -> Tensor {
    (weight / scale).round()
}

/// Scales of rows, equal parts of their effective values and none below `finest`, at which a matrix holds `bits` a weight.
fn coarser(weight: &Tensor, finest: &Tensor, bits: f64) -> Tensor {
    let effective = weight.square().mean_dim([1].as_slice(), true, Kind::Float).sqrt();
    let scale = |part: f64| (&effective * part).maximum(finest);
    let (mut fine, mut coarse) = (0.0, 8.0);
    for _ in 0..24 {
        let middle = (fine + coarse) / 2.0;
        let half = if entropy(&integers(weight, &scale(middle))) > bits { &mut fine } else { &mut coarse };
        *half = middle;
    }
    scale(coarse)
}

/// Information in whole numbers of −128 to 127 drawn independently with the frequencies found, in bits a number.
fn entropy(values: &Tensor) -> f64 {
    let counts = (values.flatten(0, -1).to_kind(Kind::Int64) + 128).bincount::<Tensor>(None, 256);
    let share = counts.to_kind(Kind::Double) / values.numel().max(1) as f64;
    -share.xlogy(&share).sum(Kind::Double).double_value(&[]) / std::f64::consts::LN_2
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

/// Writes a file's contents again, deflated into a gzip file (RFC 1952). Codes alone: such numbers hardly ever repeat, and an
/// encoder that takes every short repetition makes its file a tenth larger.
pub fn deflate(from: &Path, to: &Path) -> io::Result<()> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let data = fs::read(from)?;
    let mut out = HEADER.to_vec();
    let flags = create_comp_flags_from_zip_params(9, 0, CompressionStrategy::HuffmanOnly as i32);
    let (status, _) = compress_to_output(&mut CompressorOxide::new(flags), &data, TDEFLFlush::Finish, |part| {
        out.extend_from_slice(part);
        true
    });
    if status != TDEFLStatus::Done {
        return Err(io::Error::other(format!("deflate ended with {status:?}")));
    }
    let mut sum = Crc::new();
    sum.update(&data);
    out.extend(sum.sum().to_le_bytes());
    out.extend(sum.amount().to_le_bytes());
    fs::write(to, out)
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
    fn what_was_deflated_is_inflated_to_the_same() {
        let plain = std::env::temp_dir().join(format!("decalage-{}-deflate", std::process::id()));
        let deflated = plain.with_extension("gz");
        // Seven equally frequent numbers are 2.8 bits each.
        let data: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as u8 % 7).collect();
        fs::write(&plain, &data).unwrap();
        deflate(&plain, &deflated).unwrap();
        assert!(fs::metadata(&deflated).unwrap().len() < 300_000 * 3 / 8 + 500);
        assert_eq!(inflate(&deflated).unwrap(), data);
        fs::write(&plain, []).unwrap();
        deflate(&plain, &deflated).unwrap();
        assert!(inflate(&deflated).unwrap().is_empty());
        for file in [plain, deflated] {
            fs::remove_file(file).unwrap();
        }
    }

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
            .flat_map(|(name, weight)| quantize(name, weight, None))
            .collect();
        let again = dequantize(stored);
        let names: Vec<&str> = again.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "zero", "b.bias"]);
        let step = weight.abs().amax([1].as_slice(), true) / 127.0;
        assert!(bool::try_from(((&again[0].1 - &weight).abs() / step).max().le(0.5001)).unwrap());
        assert_eq!((&again[1].1, &again[2].1), (&zero, &bias));
    }

    #[test]
    fn a_weight_holds_as_many_bits_as_it_may() {
        tch::manual_seed(3);
        let scale = Tensor::from_slice(&[0.01f32, 1.0]).repeat([100]).unsqueeze(1);
        let weight = Tensor::randn([200, 300], (Kind::Float, Device::Cpu)) * scale;
        for bits in [3.0, 4.5] {
            let stored = quantize("a", &weight, Some(bits));
            assert!((entropy(&stored[0].1.to_kind(Kind::Float)) - bits).abs() < 0.01);
            let error = (&dequantize(stored)[0].1 - &weight).square().mean(Kind::Double).double_value(&[]);
            // In steps of width s a normal number holds log2(√(2πe)/s) bits, and the error's power is s²/12: here in every
            // other row, the others have next to none.
            let step = 17.08f64.sqrt() / 2f64.powf(bits);
            let ratio = error / (step * step / 24.0);
            assert!((0.95..1.05).contains(&ratio), "{bits} bits: {ratio}");
        }
        let finest = quantize("a", &weight, Some(8.0));
        assert_eq!(finest[0].1, quantize("a", &weight, None)[0].1);
        let zero = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
        assert_eq!(dequantize(quantize("zero", &zero, Some(4.0)))[0].1, zero);
    }
}
