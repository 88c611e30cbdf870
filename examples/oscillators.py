"""A cell of one's own: a bank of oscillators, for sequences of many hundred steps.

    unrolled train classify train-images-idx3-ubyte.gz --idx pixels --out run
        --cell oscillators.py:Bank --hidden-size 192 --heads 12 --no-bidirectional
        --dropout 0 --ema 0 --batch-size 16 --warmup 0.05 --beta2 0.99 --weight-decay 0.01

A unit of `unrolled.cells.CoRNN` is a damped oscillator: it remembers for about ``2 / (epsilon dt)``
steps what came with its own frequency, ``w = dt sqrt(gamma)`` radians a step. Here every unit has
another frequency, as the filters of a bank have, and all of them remember equally long. Learned are
the weights alone, which say what drives which oscillator.
"""

from math import sqrt

from unrolled.cells import CoRNN

UNITS, HEADS, GAMMA = 192, 12, 4.0


def frequencies(lowest: float, highest: float) -> list[float]:
    """One for each unit, in radians a step, evenly spaced.

    They are dealt out in turn, so that every head, whose units see each other, has the whole range.
    """
    spaced = [lowest + (highest - lowest) * k / (UNITS - 1) for k in range(UNITS)]
    size = UNITS // HEADS
    return [spaced[k % size * HEADS + k // size] for k in range(UNITS)]


def time_steps(highest: float) -> list[float]:
    """``dt`` of each unit, for frequencies from 0.008 to the highest."""
    return [w / sqrt(GAMMA) for w in frequencies(0.008, highest)]


def damping(highest: float, memory: float) -> list[float]:
    """``epsilon`` of each unit, with which it remembers for so many steps."""
    return [2 / (memory * dt) for dt in time_steps(highest)]


FAST, SLOW = time_steps(1.2), time_steps(0.6)
SHORT, LONG = damping(1.2, 300), damping(0.6, 500)


class Bank(CoRNN):
    """Oscillators for pixels in reading order: up to 1.2 radians a step, 300 steps of memory."""

    def step(W, U, x, y, z, *, dt=FAST, gamma=GAMMA, epsilon=SHORT):
        return CoRNN.step(W, U, x, y, z, dt=dt, gamma=gamma, epsilon=epsilon)


class SlowBank(CoRNN):
    """Oscillators for pixels in random order: up to 0.6 radians a step, 500 steps of memory."""

    def step(W, U, x, y, z, *, dt=SLOW, gamma=GAMMA, epsilon=LONG):
        return CoRNN.step(W, U, x, y, z, dt=dt, gamma=gamma, epsilon=epsilon)
