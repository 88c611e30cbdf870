"""What the drop-in layers share: torch.nn's modules with another engine under them."""

from __future__ import annotations

<<<<<<< HEAD
from collections.abc import Mapping
from typing import Any
=======
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple
>>>>>>> c66368f584a065899e1a2fdff8ecf5c8465c00a5

import torch

<<<<<<< HEAD
from .layer import Layer
from .options import split_options
=======
from ..cells import Cell
from ..compiler.program import Program
from ..engine.choice import Choice, choose
from ..engine.stream import steps_of
from ..engine.weights import Weights, program_of, split
from .checks import (
    Expected,
    Lengths,
    check_checkpoint,
    check_input,
    check_lengths,
    check_reset,
    check_states,
    resets_nothing,
)
from .compiling import compilable
from .packing import Packing, mask_padding, run_packed
from .stack import Checkpoint, run_stack
from .stream import Stream
>>>>>>> c66368f584a065899e1a2fdff8ecf5c8465c00a5


class DropIn(Layer, torch.nn.RNNBase):
    """A layer of torch.nn, run by our engine; parameters and everything else are torch's own.

    A subclass comes before torch.nn's class among the bases and says which ``cell`` it runs.
    """

<<<<<<< HEAD
    def __init__(
        self, *arguments: Any, choices: Mapping[str, Any] | None = None, **keywords: Any
    ) -> None:
        """Make torch.nn's layer, and then what is ours: the cell's choices and the options."""
        options, own = split_options(keywords)
        super().__init__(*arguments, **own)
        for name, value in (choices or {}).items():
            setattr(self, name, value)
        self._complete(options)

    def extra_repr(self) -> str:
        """As torch.nn's, and what torch.nn does not have."""
        return super().extra_repr() + str(self.options)
=======
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        compilable(cls)

    @property
    def cell(self) -> Cell:
        """The equations."""
        raise NotImplementedError

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: Any = None,
        *,
        lengths: Lengths | int | None = None,
        reset: Tensor | None = None,
        checkpoint: Checkpoint = None,
    ) -> tuple[Any, Any]:
        """Run the layer; see the class for shapes.

        Raises:
            TypeError: if an argument is of a wrong kind.
            ValueError: if it has a wrong size, dtype, device or value.
        """
        if torch.compiler.is_dynamo_compiling() and isinstance(input, PackedSequence):
            return self._apart(input, hx, lengths, reset, checkpoint)  # its sizes are values
        return self._run(input, hx, lengths, reset, checkpoint)

    def stream(self, batch_size: int = 1, state: Any = None) -> Stream:
        """This layer as a machine that takes one step at a time; see `unrolled.Stream`.

        Its numbers are the layer's in evaluation mode. The weights are copied: what happens to the
        layer afterwards does not change the stream.

        Args:
            batch_size: rows N of every step.
            state: the initial state, as the layer takes hx; zeros if None.

        Raises:
            TypeError: if an argument is of a wrong kind.
            ValueError: if one has a wrong size, dtype or device, or the layer is bidirectional.
        """
        name = type(self).__name__
        if self.bidirectional:
            raise ValueError(
                f"{name}: a stream knows no future, so bidirectional must be False, got True"
            )
        if not isinstance(batch_size, int) or isinstance(batch_size, bool):
            raise TypeError(
                f"{name}: batch_size must be an integer, got {type(batch_size).__name__}"
            )
        if batch_size < 1:
            raise ValueError(f"{name}: batch_size must be at least 1, got {batch_size}")
        program = program_of(self.cell, self.proj_size > 0)
        tensors = [tensor for own in self.all_weights for tensor in own]
        weights = [split(program, own, 1)[0] for own in self.all_weights]
        steps = steps_of(choose(program, tensors), program, weights, batch_size)
        stream = Stream(steps, self._expected(1), batch_size, tensors[0])
        if state is not None:
            stream._start(state)
        return stream

    def _run(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: Any,
        lengths: Lengths | int | None,
        reset: Tensor | None,
        checkpoint: Checkpoint,
    ) -> tuple[Any, Any]:
        call = self._accept(input, hx, lengths, reset, checkpoint)
        if torch.compiler.is_dynamo_compiling() and call.choice.engine != "kernels":
            # Only the kernels are one node; the others would be traced step by step.
            return self._apart(input, hx, lengths, reset, checkpoint)
        if call.choice.engine == "torch" and call.lengths is None:
            output, states = self._by_torch(call.x.is_cuda, input, hx)
            return output, states
        if isinstance(input, PackedSequence):
            return self._run_packed(call, input, checkpoint)
        x = call.x
        if call.lengths is not None:
            x = mask_padding(x, call.lengths, call.batch_first)
        if call.choice.engine == "torch":
            assert call.lengths is not None
            output, last = run_packed(
                self._torch_packed, x, call.initial, call.lengths, call.batch_first
            )
        else:
            output, last = run_stack(
                call.choice,
                call.program,
                x,
                call.initial,
                call.weights,
                call.lengths,
                call.batch_first,
                self._drop if self.training and self.dropout else None,
                call.reset,
                checkpoint,
            )
        if not call.batched:
            output, last = output.squeeze(1), [state.squeeze(1) for state in last]
        return output, self._states(last)

    def _apart(self, *arguments: Any) -> tuple[Any, Any]:
        """Run as a break in torch.compile's graph."""
        from .uncompiled import uncompiled  # loads the compiler

        found: tuple[Any, Any] = uncompiled(self._run, *arguments)
        return found

    def _accept(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: Any,
        lengths: Lengths | int | None = None,
        reset: Tensor | None = None,
        checkpoint: Checkpoint = None,
    ) -> _Call:
        """Check the arguments and choose the engine; runs nothing."""
        directions = 2 if self.bidirectional else 1
        tensors = [tensor for own in self.all_weights for tensor in own]
        expected = self._expected(directions)
        x = check_input(expected, input, tensors[0])
        check_checkpoint(expected, checkpoint)
        packed, batched = isinstance(input, PackedSequence), True
        if isinstance(input, PackedSequence):
            rows: int | None = int(input.batch_sizes[0])
            if lengths is not None:
                raise ValueError(
                    f"{expected.name}: lengths must be None with a PackedSequence, "
                    "which has its own"
                )
            if reset is not None:
                raise ValueError(
                    f"{expected.name}: reset must be None with a PackedSequence; "
                    "give a padded batch with lengths instead"
                )
        else:
            batched = x.ndim == 3
            rows = x.shape[0 if self.batch_first else 1] if batched else None
        initial = None if hx is None else check_states(expected, hx, x, rows)
        if lengths is not None:
            lengths = check_lengths(expected, lengths, x, batched)
        if reset is not None:
            reset = check_reset(expected, reset, x, batched)
        if not batched:
            x = x.unsqueeze(1)
            if initial is not None:
                initial = [state.unsqueeze(1) for state in initial]
        program = program_of(self.cell, self.proj_size > 0)
        steps = None if packed or lengths is not None else x.shape[self.batch_first and batched]
        given = [x, *(initial or []), *tensors]
        choice = choose(program, given, steps, reset is not None)
        if reset is not None and choice.engine != "kernels" and resets_nothing(reset):
            reset, choice = None, choose(program, given, steps)
        if choice.engine == "torch" and x.numel() == 0:
            choice = Choice("reference", reason="there is no step to run")
        if choice.engine == "torch" and lengths is not None and lengths.is_meta:
            choice = Choice("reference", reason="lengths without values cannot be packed")
        count = len(tensors) // self.num_layers
        weights = [
            split(program, tensors[k : k + count], directions)
            for k in range(0, len(tensors), count)
        ]
        batch_first = self.batch_first and batched and not packed
        return _Call(x, initial, lengths, reset, weights, batched, batch_first, program, choice)

    def _expected(self, directions: int) -> Expected:
        sizes = [self.proj_size or self.hidden_size, *[self.hidden_size] * 9]
        states = zip((f"{state}_0" for state in self.cell.states), sizes, strict=False)
        return Expected(
            type(self).__name__,
            self.input_size,
            tuple(states),
            self.num_layers * directions,
            self.batch_first,
        )

    def _run_packed(
        self, call: _Call, packed: PackedSequence, checkpoint: Checkpoint
    ) -> tuple[PackedSequence, Any]:
        packing = Packing(packed)
        drop = None
        if self.training and self.dropout:

            def drop(x: Tensor) -> Tensor:  # the mask that torch draws covers no padding
                return packing.pad(self._drop(packing.pack(x)))

        output, last = run_stack(
            call.choice,
            call.program,
            packing.pad(call.x),
            None if call.initial is None else packing.sort(call.initial),
            call.weights,
            packing.lengths,
            dropout=drop,
            checkpoint=checkpoint,
        )
        return packing.like(output), self._states(packing.unsort(last))

    def _by_torch(
        self,
        cuda: bool,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: Any,
    ) -> tuple[Any, Any]:
        """torch.nn's own forward."""
        layer = self
        if cuda and not self.training and torch.is_grad_enabled():
            # cuDNN can differentiate only what it ran in training mode; that differs by dropout.
            layer = copy(self)
            layer.training, layer.dropout = True, 0.0
        output, states = super(DropIn, layer).forward(input, hx)
        return output, states

    def _torch_packed(
        self, packed: PackedSequence, initial: list[Tensor] | None
    ) -> tuple[PackedSequence, list[Tensor]]:
        """torch.nn's own forward, with states as a list."""
        hx = None if initial is None else self._states(initial)
        output, last = self._by_torch(packed.data.is_cuda, packed, hx)
        return output, list(last) if isinstance(last, tuple) else [last]

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, training=True)

    @staticmethod
    def _states(states: Sequence[Tensor]) -> Any:
        """As torch.nn gives and takes them: one tensor, or a tuple."""
        return states[0] if len(states) == 1 else tuple(states)
>>>>>>> c66368f584a065899e1a2fdff8ecf5c8465c00a5
