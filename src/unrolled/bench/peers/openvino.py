"""OpenVINO on the exported layer."""

from __future__ import annotations

import numpy as np
import openvino

from unrolled.bench.peers.onnx_graph import onnx_bytes, onnx_inputs
from unrolled.bench.problem import Array, Engine, Problem

_HINT = {"float32": "f32", "bfloat16": "bf16"}


def prepare(problem: Problem) -> Engine:
    """Compile the model, with the case's precision as a hint.

    Raises:
        UnsupportedError: It cannot do the case.
    """
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(onnx_bytes(problem)),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": _HINT[problem.case.dtype],
            "INFERENCE_NUM_THREADS": problem.case.threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request, inputs = compiled.create_infer_request(), onnx_inputs(problem)

    def run() -> Array:
        # Without copies on the way in and out, which is its best case.
        output: Array = request.infer(inputs, share_inputs=True, share_outputs=True)[0]
        return output

    return Engine(run, lambda: np.array(run(), dtype=np.float32))
