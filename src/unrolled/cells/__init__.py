"""The equations: one file per cell."""

from .cell import Cell
from .functions import (
    Function,
    abs,  # noqa: A004 - as torch and NumPy call it
    clamp,
    cos,
    elu,
    exp,
    gelu,
    identity,
    leaky_relu,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    sign,
    silu,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)
from .gru import GRU
from .lstm import LSTM
from .original_gru import OriginalGRU
from .rnn import RNN

BUILTIN: tuple[Cell, ...] = (
    RNN(nonlinearity="tanh"),
    RNN(nonlinearity="relu"),
    RNN(nonlinearity="sigmoid"),
    RNN(nonlinearity="identity"),
    LSTM(),
    GRU(),
    OriginalGRU(),
)
"""The cells whose kernels are generated when the package is built."""

__all__ = [
    "BUILTIN",
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Function",
    "OriginalGRU",
    "abs",
    "clamp",
    "cos",
    "elu",
    "exp",
    "gelu",
    "identity",
    "leaky_relu",
    "log",
    "maximum",
    "minimum",
    "relu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
    "where",
]
