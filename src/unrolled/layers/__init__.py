"""Torch modules: the drop-in `RNN`, `LSTM` and `GRU`, and `explain`."""

from .explanation import explain
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "explain"]
