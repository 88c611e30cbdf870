"""The drop-in for torch.nn.LSTM."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from .. import cells
from ..options import Keywords, with_options
from .drop_in import DropIn

_CELL = cells.LSTM()


class LSTM(DropIn, torch.nn.LSTM):
    r"""Long short-term memory, in place of `torch.nn.LSTM`.

    .. math::
        i_t &= \sigma(W_i x_t + b_i + U_i h_{t-1} + c_i) \\
        f_t &= \sigma(W_f x_t + b_f + U_f h_{t-1} + c_f) \\
        g_t &= \tanh(W_g x_t + b_g + U_g h_{t-1} + c_g) \\
        o_t &= \sigma(W_o x_t + b_o + U_o h_{t-1} + c_o) \\
        C_t &= f_t \circ C_{t-1} + i_t \circ g_t \\
        h_t &= o_t \circ \tanh(C_t)

    (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000.) With ``proj_size``,
    :math:`h_t = P (o_t \circ \tanh(C_t))` (Sak et al., 2014).

    Constructor, parameters, initial values and state_dict are those of `torch.nn.LSTM`, of which
    this is a subclass; `unrolled.explain` says which engine runs a call.

    Args:
        input_size: features of the input at one step.
        hidden_size: units of a layer, H.
        num_layers: layers on top of each other; each reads the output of the one below.
        bias: whether there are b and c.
        batch_first: whether the batch is the first dimension of input and output (not of states).
        dropout: probability with which an output of any layer but the last is dropped in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        proj_size: size of the projected output; 0 for none.
        device: of the parameters.
        dtype: of the parameters.
        **options: those of `unrolled.layers.Options`; none is on by default (keyword only).

    Inputs: input, hx, lengths, reset, checkpoint, return_states, return_gates
        * **input**: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``;
          ``[T, input_size]`` for one sequence without a batch; or a
          `torch.nn.utils.rnn.PackedSequence`.
        * **hx**: the tuple (h_0, c_0), ``[num_layers * directions, N, S]`` and
          ``[num_layers * directions, N, H]``, without N for unbatched input. S is ``proj_size``,
          or H without projection. Default: zeros, or what ``learn_initial`` has learned.
        * **lengths** (keyword only): a tensor (on any device) or list of N integers from 0 to T, in
          any order; one integer for unbatched input. A row's steps at and after its length do not
          exist: whatever stands in the padding, NaN included, changes no result and no gradient.
          Not with a packed input, which has its own. Default: every row has all T steps.
        * **reset** (keyword only): a tensor of bools, on the input's device and with its leading
          dimensions. Where it holds at step t, the steps t - 1 and t are cut apart in every layer
          and direction: the state is put back to its initial value before step t, in the reverse
          direction before step t - 1. No gradient crosses the cut; that of hx is the sum over all
          pieces. At step 0, and at or after a row's end, it changes nothing. Not with a packed
          input. Default: nothing is cut.
        * **checkpoint** (keyword only): a number of steps k, or ``"auto"``. For backward the CPU
          kernels keep the states every k steps only, and compute what is between again: less
          memory for about a third more time. Outputs are the same to the bit, gradients to
          rounding. Other engines run the call as if it were not there. Default: keep everything.
        * **return_states**, **return_gates** (keyword only): whether to return, third, the
          `Sequences` of all states, and of all values that the equations name, at every step of
          every layer.

    Outputs: output, (h_n, c_n)
        * **output**: the last layer's h at every step, directions side by side, with the input's
          leading dimensions and ``directions * S`` features; zero after a row's end. A
          `PackedSequence` where the input is one.
        * **h_n**, **c_n**: shaped as h_0 and c_0.
          The last state is the one at the row's own end; the reverse direction starts there. A row
          of length zero keeps its initial state.

    Shape:
        T steps, N rows, H = ``hidden_size``; directions = 2 if ``bidirectional``, else 1. T and N
        may be zero: output is then empty, and the last state is the initial one.

    Parameters (attributes), for layer k, with ``_reverse`` appended for the reverse direction:
        * ``weight_ih_l{k}``: W, ``[4 * H, input_size]``; ``[4 * H, directions * S]`` for k > 0
        * ``weight_hh_l{k}``: U, ``[4 * H, S]``
        * ``bias_ih_l{k}``, ``bias_hh_l{k}``: b and c, ``[4 * H]``, unless ``bias=False``
        * ``weight_hr_l{k}``: P, ``[S, H]``, with ``proj_size`` only

        Rows are stacked in the order i, f, g, o.
        All are drawn from the uniform distribution on ±1/√H, where no option says otherwise; `gate`
        gives the part of one gate. With ``learn_initial`` there is ``initial_{state}_l{k}``, too.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if one has a wrong size, dtype, device or value.
        RuntimeError: as well, where torch.nn raises it: the errors of a call are those of
            `unrolled.errors`.

    Examples:
        >>> lstm = LSTM(10, 20, num_layers=2)
        >>> output, (h_n, c_n) = lstm(torch.randn(5, 3, 10), lengths=[5, 0, 2])
        >>> output.shape, c_n.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    @with_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Keywords],
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device=device,
            dtype=dtype,
            **options,
        )

    @property
    def cell(self) -> cells.Cell:
        """The equations."""
        return _CELL
