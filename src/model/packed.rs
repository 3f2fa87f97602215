//! Matrix products with f16 weights and f32 everything else, by FBGEMM.
//!
//! A step of few rows reads all weights for little arithmetic, so weights of half the size in the order in which they are read
//! are faster, most of all where libtorch's usual library is slow (MKL on CPUs that are not Intel's). Bundles hold f16, so
//! nothing is lost. The binding lacks these operators; a scripted module (`scripts/packed_linear.py`) has them.
//! Invariant: a packed product equals the plain one with weights rounded to f16, but for the order of its sums.

use std::cell::OnceCell;
use std::sync::Arc;

use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

const MODULE: &[u8] = include_bytes!("packed_linear.pt");

/// How a network multiplies: in f32, in bf16 (faster to train), or, where its weights are final, packed.
#[derive(Debug, Clone)]
pub(crate) struct Products {
    kind: Kind,
    /// The packed weights of the whole network.
    packer: Option<Arc<CModule>>,
}

impl Products {
    /// Unpacked, in this kind, over f32 master weights.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, packer: None }
    }

    /// Whether the weights will never change: what is computed from them may be kept.
    pub(crate) fn are_final(&self) -> bool {
        self.packer.is_some()
    }

    /// What is fastest to serve on this device: packed where this libtorch can, else f32.
    pub(crate) fn to_serve(device: Device) -> Self {
        let packer = || {
            // Its functions are one operator each: nothing is gained by watching them run, and calls get slower by it.
            tch::jit::f_set_graph_executor_optimize(false).ok()?;
            let module = CModule::load_data(&mut { MODULE }).ok()?;
            // It loads everywhere; whether there is a backend shows when it packs.
            let probe = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu));
            pack(&module, &probe, None).is_ok().then(|| Arc::new(module))
        };
        Self { kind: Kind::Float, packer: if device == Device::Cpu { packer() } else { None } }
    }
}

fn pack(packer: &CModule, weight: &Tensor, bias: Option<&Tensor>) -> Result<i64, TchError> {
    let bias = bias.map_or(IValue::None, |bias| IValue::Tensor(bias.detach()));
    match packer.method_is("pack", &[IValue::Tensor(weight.detach()), bias])? {
        IValue::Int(number) => Ok(number),
        other => Err(TchError::Kind(format!("a packed weight is a number, not {other:?}"))),
    }
}

/// x·Wᵀ + b of always the same weights, or of several such maps side by side.
#[derive(Debug)]
pub(crate) struct Product {
    products: Products,
    /// The weights' number among the packed ones, once they have been used; none where they cannot be packed.
    number: OnceCell<Option<i64>>,
}

impl Product {
    pub(crate) fn new(products: &Products) -> Self {
        Self { products: products.clone(), number: OnceCell::new() }
    }

    /// `(…, input)` → `(…, output)`, in the kind of the products.
    pub(crate) fn apply(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let kind = self.products.kind;
        self.packed(x, || weight.shallow_clone(), bias).unwrap_or_else(|| {
            let bias = bias.map(|bias| bias.to_kind(kind));
            x.to_kind(kind).linear(&weight.to_kind(kind), bias.as_ref())
        })
    }

    /// `(…, input)` → `(…, Σ output)`: the maps' answers side by side. One product where they are packed, as many as there are
    /// maps where their weights may still change.
    pub(crate) fn apply_joined(&self, x: &Tensor, weights: &[&Tensor]) -> Tensor {
        let kind = self.products.kind;
        self.packed(x, || Tensor::cat(weights, 0), None).unwrap_or_else(|| {
            let x = x.to_kind(kind);
            let parts: Vec<Tensor> = weights.iter().map(|w| x.linear::<Tensor>(&w.to_kind(kind), None)).collect();
            Tensor::cat(&parts, -1)
        })
    }

    fn packed(&self, x: &Tensor, weight: impl FnOnce() -> Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
        let packer = self.products.packer.as_ref()?;
        let number = (*self.number.get_or_init(|| pack(packer, &weight(), bias).ok()))?;
        match packer.forward_is(&[IValue::Tensor(x.shallow_clone()), IValue::Int(number)]) {
            Ok(IValue::Tensor(y)) => Some(y),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_products_are_those_with_weights_rounded_to_f16() {
        tch::manual_seed(2);
        let products = Products::to_serve(Device::Cpu);
        assert!(products.packer.is_some(), "this libtorch has FBGEMM");
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        for (input, output, shape) in [(5, 3, vec![1]), (96, 192, vec![2, 7]), (192, 4000, vec![3, 1])] {
            let (weight, bias) = (random(&[output, input]), random(&[output]));
            let x = random(&[shape, vec![input]].concat());
            for bias in [None, Some(&bias)] {
                let expected = x.linear(&weight.to_kind(Kind::Half).to_kind(Kind::Float), bias);
                let product = Product::new(&products);
                let found = product.packed(&x, || weight.shallow_clone(), bias).unwrap();
                assert_eq!(found.size(), expected.size());
                let error = (&found - &expected).abs().max().double_value(&[]);
                assert!(error < 1e-5 * expected.abs().max().double_value(&[]), "{input} to {output}: {error:e}");
                assert_eq!(product.packed(&x, || unreachable!("packed before"), bias).unwrap(), found);
            }
        }
    }

    #[test]
    fn joined_products_are_those_of_each_map() {
        tch::manual_seed(3);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (x, narrow, wide) = (random(&[2, 3, 8]), random(&[4, 8]), random(&[16, 8]));
        for products in [Products::of(Kind::Float), Products::to_serve(Device::Cpu)] {
            let one = |weight: &Tensor| Product::new(&products).apply(&x, weight, None);
            let expected = Tensor::cat(&[one(&narrow), one(&wide)], -1);
            let found = Product::new(&products).apply_joined(&x, &[&narrow, &wide]);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
        }
    }
}
