"""JAX: a jitted `lax.scan` over the steps, the input's product before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unrolled.bench.problem import Array, Engine, Problem, UnsupportedError

Step = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


def _rnn(state: Any, x: Any, U: Any, b: Any) -> tuple[Any, Any]:
    h = jnp.tanh(x + state @ U + b)
    return h, h


def _gru(state: Any, x: Any, U: Any, b: Any) -> tuple[Any, Any]:
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(state @ U + b, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * state
    return h, h


def _lstm(state: Any, x: Any, U: Any, b: Any) -> tuple[Any, Any]:
    h, c = state
    i, f, g, o = jnp.split(x + h @ U + b, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


_STEPS: dict[str, Step] = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def prepare(problem: Problem) -> Engine:
    """Write the layer down; it is compiled at the first call.

    Raises:
        UnsupportedError: There is no scan for the cell.
    """
    twin, shape = problem.kind.twin, problem.shape
    if twin is None:
        raise UnsupportedError("does not have this cell")
    step = _STEPS[twin]
    dtype = jnp.dtype(problem.case.dtype)
    weights = jax.tree.map(lambda part: jnp.asarray(part, dtype), problem.weights())
    x = jnp.asarray(problem.x.numpy(), dtype)
    mask = None
    if problem.lengths is not None:
        exists = np.arange(shape.T)[:, None] < problem.lengths.numpy()
        mask = jnp.asarray(exists[:, :, None])

    def direction(parts: Any, x: Any, mask: Any, reverse: bool) -> Any:
        w_ih, w_hh, b_ih, b_hh = parts
        U = w_hh.T
        h = jnp.zeros((shape.N, shape.H), dtype)
        state = (h, h) if twin == "LSTM" else h

        def body(state: Any, given: Any) -> tuple[Any, Any]:
            x_t, there = given
            after, output = step(state, x_t, U, b_hh)
            if there is not None:
                after = jax.tree.map(lambda new, old: jnp.where(there, new, old), after, state)
                output = jnp.where(there, output, 0)
            return after, output

        return jax.lax.scan(body, state, (x @ w_ih.T + b_ih, mask), reverse=reverse)[1]

    def forward(weights: Any, y: Any, mask: Any) -> Any:
        D = shape.directions
        for k in range(shape.layers):
            own = weights[k * D : (k + 1) * D]
            y = jnp.concatenate([direction(own[d], y, mask, d == 1) for d in range(D)], axis=-1)
        return y

    run = jax.jit(forward)
    gradient = jax.jit(jax.grad(lambda *given: forward(*given).sum()))
    given = (weights, x, mask)  # as arguments: constants would be folded into the program

    def output() -> Array:
        return np.array(run(*given), dtype=np.float32)

    def gradients() -> list[Array]:
        parts = jax.tree.leaves(gradient(*given))
        return [np.array(part, dtype=np.float32) for part in parts]

    if problem.training:
        return Engine(lambda: jax.block_until_ready(gradient(*given)), output, gradients)
    return Engine(lambda: run(*given).block_until_ready(), output)
