"""ONNX Runtime on the exported layer."""

from __future__ import annotations

import onnxruntime

from unrolled.bench.peers.onnx_graph import onnx_bytes, onnx_inputs
from unrolled.bench.problem import Array, Engine, Problem, UnsupportedError


def prepare(problem: Problem) -> Engine:
    """Make a session.

    Raises:
        UnsupportedError: It cannot do the case.
    """
    if problem.case.dtype != "float32":
        # Its CPU provider has recurrent operators for float and double only.
        raise UnsupportedError(f"no {problem.case.dtype} on the CPU")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = problem.case.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        onnx_bytes(problem), options, providers=["CPUExecutionProvider"]
    )
    inputs = onnx_inputs(problem)

    def run() -> Array:
        output: Array = session.run(None, inputs)[0]
        return output

    return Engine(run, run)
