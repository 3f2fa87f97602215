"""Writes src/model/packed_linear.pt: FBGEMM's products with f16 weights, which libtorch has and its Rust binding has not.

A scripted module is the way there without C++ of our own. It comes without weights and knows no shapes, so it is written
once; the file in the repository was made with torch 2.11.0. usage: python scripts/packed_linear.py (where torch is)
"""

from pathlib import Path
from typing import List, Optional

import torch


class PackedLinears(torch.nn.Module):
    """Many maps y = x W' + b in f32, whose weights were rounded to f16."""

    packed: List[torch.classes.quantized.LinearPackedParamsBase]

    def __init__(self):
        super().__init__()
        self.packed = []

    @torch.jit.export
    def pack(self, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> int:
        self.packed.append(torch.ops.quantized.linear_prepack_fp16(weight, bias))
        return len(self.packed) - 1

    def forward(self, x: torch.Tensor, number: int) -> torch.Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed[number])


if __name__ == "__main__":
    torch.jit.script(PackedLinears()).save(str(Path(__file__).parents[1] / "src/model/packed_linear.pt"))
