"""The equations: one file per cell, and one line for it here."""

from .antisymmetric_rnn import AntisymmetricRNN as AntisymmetricRNN
from .atr import ATR as ATR
from .brc import BRC as BRC
from .cell import Cell as Cell
from .cfn import CFN as CFN
from .cornn import CoRNN as CoRNN
from .coupled_lstm import CoupledLSTM as CoupledLSTM
from .fast_grnn import FastGRNN as FastGRNN
from .functions import Function as Function
from .functions import abs as abs  # noqa: A004 - as torch and NumPy call it
from .functions import clamp as clamp
from .functions import cos as cos
from .functions import elu as elu
from .functions import exp as exp
from .functions import gelu as gelu
from .functions import identity as identity
from .functions import leaky_relu as leaky_relu
from .functions import log as log
from .functions import maximum as maximum
from .functions import minimum as minimum
from .functions import relu as relu
from .functions import sigmoid as sigmoid
from .functions import sign as sign
from .functions import silu as silu
from .functions import sin as sin
from .functions import softplus as softplus
from .functions import sqrt as sqrt
from .functions import tanh as tanh
from .functions import where as where
from .gru import GRU as GRU
from .indrnn import IndRNN as IndRNN
from .janet import JANET as JANET
from .leaky_rnn import LeakyRNN as LeakyRNN
from .lem import LEM as LEM
from .ligru import LiGRU as LiGRU
from .lstm import LSTM as LSTM
from .mgu import MGU as MGU
from .min_gru import MinGRU as MinGRU
from .min_lstm import MinLSTM as MinLSTM
from .minimal_rnn import MinimalRNN as MinimalRNN
from .multiplicative_lstm import MultiplicativeLSTM as MultiplicativeLSTM
from .mut1 import MUT1 as MUT1
from .mut2 import MUT2 as MUT2
from .mut3 import MUT3 as MUT3
from .nas import NAS as NAS
from .nbrc import NBRC as NBRC
from .original_gru import OriginalGRU as OriginalGRU
from .peephole_lstm import PeepholeLSTM as PeepholeLSTM
from .qrnn import QRNN as QRNN
from .ran import RAN as RAN
from .rg_lru import RGLRU as RGLRU
from .rnn import RNN as RNN
from .slstm import SLSTM as SLSTM
from .sru import SRU as SRU
from .star import STAR as STAR
from .ugrnn import UGRNN as UGRNN

CELLS: tuple[type[Cell], ...] = tuple(Cell.__subclasses__())
"""Every cell of the library."""

BUILTIN: tuple[Cell, ...] = (
    *(cell() for cell in CELLS),
    *(RNN(nonlinearity=name) for name in ("relu", "sigmoid", "identity")),
)
"""The cells whose kernels are generated when the package is built."""
