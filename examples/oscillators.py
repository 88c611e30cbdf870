"""A cell of one's own: a bank of oscillators, for sequences of many hundred steps.

    unrolled train classify train-images-idx3-ubyte.gz --idx pixels --out run
        --cell oscillators.py:Bank --hidden-size 192 --heads 6 --no-bidirectional
        --dropout 0.2 --ema 0.999 --batch-size 16 --warmup 0.05 --beta2 0.99 --weight-decay 0.01

A unit of `unrolled.cells.CoRNN` is a damped oscillator: it remembers for about ``2 / (epsilon dt)``
steps what came with its own frequency, ``w = dt sqrt(gamma)`` radians a step. Here every unit has
another frequency, as the filters of a bank have, and all of them remember equally long. Learned are
the weights alone, which say what drives which oscillator.
"""

from math import sqrt

from unrolled.cells import CoRNN

UNITS, GAMMA = 192, 4.0


def frequencies(lowest: float, highest: float, heads: int) -> list[float]:
    """One for each unit, in radians a step, evenly spaced.

    They are dealt out in turn, so that every head, whose units see each other, has the whole range.
    """
    spaced = [lowest + (highest - lowest) * k / (UNITS - 1) for k in range(UNITS)]
    size = UNITS // heads
    return [spaced[k % size * heads + k // size] for k in range(UNITS)]


def time_steps(highest: float, heads: int) -> list[float]:
    """``dt`` of each unit, for frequencies from 0.008 to the highest."""
    return [w / sqrt(GAMMA) for w in frequencies(0.008, highest, heads)]


def damping(steps: list[float], memory: float) -> list[float]:
    """``epsilon`` of each unit, with which it remembers for so many steps."""
    return [2 / (memory * dt) for dt in steps]


FAST, SLOW = time_steps(1.2, heads=6), time_steps(0.6, heads=12)
SHORT, LONG = damping(FAST, 300), damping(SLOW, 500)


class Bank(CoRNN):
    """For pixels in reading order, with 6 heads: up to 1.2 radians a step, 300 steps of memory."""

    def step(W, U, x, y, z, *, dt=FAST, gamma=GAMMA, epsilon=SHORT):
        return CoRNN.step(W, U, x, y, z, dt=dt, gamma=gamma, epsilon=epsilon)


class SlowBank(CoRNN):
    """For pixels in random order, with 12 heads: up to 0.6 radians a step, 500 of memory."""

    def step(W, U, x, y, z, *, dt=SLOW, gamma=GAMMA, epsilon=LONG):
        return CoRNN.step(W, U, x, y, z, dt=dt, gamma=gamma, epsilon=epsilon)
