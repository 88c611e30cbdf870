"""A layer as an ONNX graph of static shapes, which ONNX Runtime and OpenVINO both read."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from unrolled.bench.problem import Array, Problem, UnsupportedError

# Our rows of gates in the order of ONNX: i f g o → i o f c, r z n → z r h.
_ORDER = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def onnx_bytes(problem: Problem) -> bytes:
    """The model, serialised; inputs ``x`` ``[T, N, I]`` and, if ragged, ``lengths`` ``[N]`` int32.

    Raises:
        UnsupportedError: ONNX does not have the cell, or this is training.
    """
    name, shape = problem.kind.twin, problem.shape
    if problem.training:
        raise UnsupportedError("inference only")
    if name is None:
        raise UnsupportedError("does not have this cell")
    D, H = shape.directions, shape.H
    weights = problem.weights()
    nodes, constants = [], []

    def constant(name: str, value: Array | np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def rows(matrix: Array) -> Array:
        blocks = np.split(matrix, problem.kind.gates)
        return np.concatenate([blocks[k] for k in _ORDER[name]])

    merged = constant("merged", np.array([shape.T, shape.N, D * H], dtype=np.int64))
    lengths = "" if problem.lengths is None else "lengths"
    x = "x"
    for k in range(shape.layers):
        own = [[rows(part) for part in parts] for parts in weights[k * D : (k + 1) * D]]
        inputs = [
            x,
            constant(f"W{k}", np.stack([w for w, _, _, _ in own])),
            constant(f"R{k}", np.stack([r for _, r, _, _ in own])),
            constant(f"B{k}", np.stack([np.concatenate([b, c]) for _, _, b, c in own])),
            lengths,
        ]
        nodes.append(
            helper.make_node(
                name,
                inputs if lengths else inputs[:-1],
                [f"Y{k}"],
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                **({"linear_before_reset": 1} if name == "GRU" else {}),
            )
        )
        # [T, D, N, H] → [T, N, D * H]; with one direction the order is right already
        y = f"Y{k}"
        if D == 2:
            nodes.append(helper.make_node("Transpose", [y], [f"Z{k}"], perm=[0, 2, 1, 3]))
            y = f"Z{k}"
        x = f"x{k + 1}"
        nodes.append(helper.make_node("Reshape", [y, merged], [x]))
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [shape.T, shape.N, shape.I])]
    if lengths:
        given.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [shape.N]))
    result = helper.make_tensor_value_info(x, TensorProto.FLOAT, [shape.T, shape.N, D * H])
    graph = helper.make_graph(nodes, "layer", given, [result], constants)
    # The versions need not be newer than the operators are, and older runtimes read older ones.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    serialised: bytes = model.SerializeToString()
    return serialised


def onnx_inputs(problem: Problem) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """The graph's inputs by name."""
    x = {"x": problem.x.numpy()}
    if problem.lengths is None:
        return x
    return {**x, "lengths": problem.lengths.numpy().astype(np.int32)}
