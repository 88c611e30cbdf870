"""Torch modules: the drop-in `RNN`, `LSTM` and `GRU`; `Recurrent`; `Stream`; `explain`."""

from .explanation import explain
from .gru import GRU
from .lstm import LSTM
from .recurrent import Recurrent
from .rnn import RNN
from .sequences import Sequences
from .stream import Stream

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "Sequences", "Stream", "explain"]
