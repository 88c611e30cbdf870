"""The drop-in for torch.nn.GRU."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from .. import cells
from ..options import Keywords, with_options
from .drop_in import DropIn

_CELL, _ORIGINAL = cells.GRU(), cells.OriginalGRU()


class GRU(DropIn, torch.nn.GRU):
    r"""Gated recurrent unit, in place of `torch.nn.GRU`; by default with its equations.

    .. math::
        r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1} + c_r) \\
        z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1} + c_z) \\
        n_t &= \tanh(W_n x_t + b_n + r_t \circ (U_n h_{t-1} + c_n)) \\
        h_t &= (1 - z_t) \circ n_t + z_t \circ h_{t-1}

    Here the reset gate r acts *after* the recurrent product. With ``reset_after=False`` it acts
    before it, as first published (Cho et al., 2014):

    .. math::
        n_t = \tanh(W_n x_t + b_n + U_n (r_t \circ h_{t-1}) + c_n)

    Either way z says how much of the past stays, as in torch (the paper's equations; some later
    texts swap z and 1 - z). The name ``reset_after`` is that of Keras.

    Constructor, parameters, initial values and state_dict are those of `torch.nn.GRU`, of which
    this is a subclass; `unrolled.explain` says which engine runs a call.

    Args:
        input_size: features of the input at one step.
        hidden_size: units of a layer, H.
        num_layers: layers on top of each other; each reads the output of the one below.
        bias: whether there are b and c.
        batch_first: whether the batch is the first dimension of input and output (not of states).
        dropout: probability with which an output of any layer but the last is dropped in training.
        bidirectional: whether every layer also runs from the end to the beginning.
        device: of the parameters.
        dtype: of the parameters.
        reset_after: whether the reset gate acts after the recurrent product (keyword only).
        proj_size: size of the projected output; 0 for none (keyword only).
        **options: those of `unrolled.layers.Options`; none is on by default (keyword only).

    Inputs: input, hx, lengths, reset, checkpoint, return_states, return_gates
        * **input**: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``;
          ``[T, input_size]`` for one sequence without a batch; or a
          `torch.nn.utils.rnn.PackedSequence`.
        * **hx**: h_0, ``[num_layers * directions, N, H]``, without N for unbatched input.
          With ``proj_size`` the tuple (h_0, h_full_0), of ``proj_size`` and H features.
          Default: zeros, or what ``learn_initial`` has learned.
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

    Outputs: output, h_n
        * **output**: the last layer's h at every step, directions side by side, with the input's
          leading dimensions and ``directions * H`` features; zero after a row's end. A
          `PackedSequence` where the input is one.
        * **h_n**: ``[num_layers * directions, N, H]``, without N for unbatched input.
          The last state is the one at the row's own end; the reverse direction starts there. A row
          of length zero keeps its initial state.

    Shape:
        T steps, N rows, H = ``hidden_size``; directions = 2 if ``bidirectional``, else 1. T and N
        may be zero: output is then empty, and the last state is the initial one.

    Parameters (attributes), for layer k, with ``_reverse`` appended for the reverse direction:
        * ``weight_ih_l{k}``: W, ``[3 * H, input_size]``; ``[3 * H, directions * H]`` for k > 0
        * ``weight_hh_l{k}``: U, ``[3 * H, H]``
        * ``bias_ih_l{k}``, ``bias_hh_l{k}``: b and c, ``[3 * H]``, unless ``bias=False``
        * ``weight_hr_l{k}``: P, ``[proj_size, H]``, with ``proj_size`` only; columns of U are then
          ``proj_size``

        Rows are stacked in the order r, z, n.
        All are drawn from the uniform distribution on ±1/√H, where no option says otherwise; `gate`
        gives the part of one gate. With ``learn_initial`` there is ``initial_{state}_l{k}``, too.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if one has a wrong size, dtype, device or value.
        RuntimeError: as well, where torch.nn raises it: the errors of a call are those of
            `unrolled.errors`.

    Examples:
        >>> gru = GRU(10, 20, bidirectional=True)
        >>> output, h_n = gru(torch.randn(5, 3, 10), lengths=[5, 0, 2])
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    reset_after: bool = True

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
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        reset_after: bool = True,
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
            proj_size,  # not by name, which torch.nn's class refuses
            device=device,
            dtype=dtype,
            choices={"reset_after": reset_after},
            **options,
        )

    @property
    def cell(self) -> cells.Cell:
        """The equations."""
        return _CELL if self.reset_after else _ORIGINAL

    def extra_repr(self) -> str:
        """As torch.nn's, and what torch.nn does not have."""
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
