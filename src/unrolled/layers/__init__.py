"""Torch modules: the drop-in `RNN`, `LSTM`, `GRU`; `Recurrent`; `Stream`; what helps with them."""

from .acceleration import Acceleration, accelerate, deaccelerate
from .gru import GRU
from .layer import Sequences, explain
from .lstm import LSTM
from .options import Options
from .recurrent import Recurrent
from .rnn import RNN
from .stream import Stream

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Acceleration",
    "Options",
    "Recurrent",
    "Sequences",
    "Stream",
    "accelerate",
    "deaccelerate",
    "explain",
]
