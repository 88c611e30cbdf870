"""The published equations once more, gate by gate, in NumPy and in the notation of the papers.

A transcription takes W, U (affine maps by gate), V, s (numbers by name), the input and the states,
and returns the new states. None of it is taken from the steps that it checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled import cells
from unrolled.cells import Cell

Array = Any
States = tuple[Array, ...]
Equations = Callable[..., States]


def sigma(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def rectifier(a: Array) -> Array:
    return np.where(np.asarray(a) > 0, a, 0)


def rnn(activation: Callable[[Array], Array]) -> Equations:
    def equations(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
        return (activation(W.h(x) + U.h(h)),)

    return equations


def lstm(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, C: Array) -> States:
    input_gate = sigma(W.i(x) + U.i(h))
    forget_gate = sigma(W.f(x) + U.f(h))
    candidate = np.tanh(W.g(x) + U.g(h))
    output_gate = sigma(W.o(x) + U.o(h))
    memory = forget_gate * C + input_gate * candidate
    return output_gate * np.tanh(memory), memory


def antisymmetric_rnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    # U.h(h) stands for W_h - W_h^T of the paper, times h
    recurrent = U.h(h) - 0.01 * h
    z = sigma(recurrent + W.z(x))
    return (h + 0.01 * z * np.tanh(recurrent + W.n(x)),)


def peephole_lstm(W: Any, U: Any, V: Any, s: Any, x: Array, y: Array, c: Array) -> States:
    # Greff et al.: block input z, gates i, f, o, peepholes p
    z = np.tanh(W.g(x) + U.g(y))
    i = sigma(W.i(x) + U.i(y) + V.i * c)
    f = sigma(W.f(x) + U.f(y) + V.f * c)
    c_new = z * i + c * f
    o = sigma(W.o(x) + U.o(y) + V.o * c_new)
    return np.tanh(c_new) * o, c_new


def coupled_lstm(W: Any, U: Any, V: Any, s: Any, x: Array, y: Array, c: Array) -> States:
    z = np.tanh(W.g(x) + U.g(y))
    i = sigma(W.i(x) + U.i(y))
    f = 1 - i
    c_new = z * i + c * f
    return np.tanh(c_new) * sigma(W.o(x) + U.o(y)), c_new


def multiplicative_lstm(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    m = W.m(x) * U.m(h)
    h_hat = W.g(x) + U.g(m)
    i, o, f = sigma(W.i(x) + U.i(m)), sigma(W.o(x) + U.o(m)), sigma(W.f(x) + U.f(m))
    c_new = f * c + i * np.tanh(h_hat)
    return np.tanh(c_new) * o, c_new


def gru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    reset = sigma(W.r(x) + U.r(h))
    update = sigma(W.z(x) + U.z(h))
    candidate = np.tanh(W.n(x) + reset * U.n(h))
    return ((1 - update) * candidate + update * h,)


def original_gru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    reset = sigma(W.r(x) + U.r(h))
    update = sigma(W.z(x) + U.z(h))
    candidate = np.tanh(W.n(x) + U.n(reset * h))
    return ((1 - update) * candidate + update * h,)


def mgu(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    f = sigma(W.f(x) + U.f(h))
    h_tilde = np.tanh(W.n(x) + U.n(f * h))
    return ((1 - f) * h + f * h_tilde,)


def ligru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.z(x) + U.z(h))
    h_tilde = rectifier(W.n(x) + U.n(h))
    return (z * h + (1 - z) * h_tilde,)


def indrnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    return (rectifier(W.h(x) + V.u * h),)


def sru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    f = sigma(W.f(x) + V.f * c)
    c_new = f * c + (1 - f) * W.c(x)
    r = sigma(W.r(x) + V.r * c)
    return r * c_new + (1 - r) * x, c_new


def sru_of_other_size(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    f, r = sigma(W.f(x) + V.f * c), sigma(W.r(x) + V.r * c)
    c_new = f * c + (1 - f) * W.c(x)
    return r * c_new + (1 - r) * W.x(x), c_new


def qrnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    z, f, o = np.tanh(W.z(x)), sigma(W.f(x)), sigma(W.o(x))
    c_new = f * c + (1 - f) * z
    return o * c_new, c_new


def min_gru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.z(x))
    h_tilde = W.n(x)
    return ((1 - z) * h + z * h_tilde,)


def min_lstm(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    f, i = sigma(W.f(x)), sigma(W.i(x))
    f_prime, i_prime = f / (f + i), i / (f + i)
    return (f_prime * h + i_prime * W.n(x),)


def janet(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    s_t = U.f(h) + W.f(x)
    c_tilde = np.tanh(U.n(h) + W.n(x))
    return (sigma(s_t) * h + (1 - sigma(s_t - 1)) * c_tilde,)


def rg_lru(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    r = sigma(W.r(x))
    i = sigma(W.i(x))
    a = sigma(-np.asarray(V.Lambda))  # the paper's parameter is minus ours
    a_t = a ** (8 * r)
    return (a_t * h + np.sqrt(1 - a_t**2) * (i * x),)


def slstm(
    W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array, n: Array, m: Array
) -> States:
    # equations 8-14, with memory and normaliser in full; 15-17 divide them by exp(m)
    full_c, full_n = c * np.exp(m), n * np.exp(m)
    z = np.tanh(W.z(x) + U.z(h))
    i = np.exp(W.i(x) + U.i(h))
    f = sigma(W.f(x) + U.f(h))
    o = sigma(W.o(x) + U.o(h))
    full_c = f * full_c + i * z
    full_n = f * full_n + i
    m = np.maximum(np.log(f) + m, np.log(i))
    return o * (full_c / full_n), full_c / np.exp(m), full_n / np.exp(m), m


def fast_grnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.a(x) + U.a(h) + V.z)
    h_tilde = np.tanh(W.a(x) + U.a(h) + V.n)
    zeta, nu = sigma(s.zeta), sigma(s.nu)
    return ((zeta * (1 - z) + nu) * h_tilde + z * h,)


def cornn(W: Any, U: Any, V: Any, s: Any, x: Array, y: Array, z: Array) -> States:
    dt, gamma, epsilon = 0.042, 2.7, 4.7
    sigma_of = np.tanh(U.y(y) + U.z(z) + W.a(x))
    z_new = z + dt * sigma_of - dt * gamma * y - dt * epsilon * z
    return y + dt * z_new, z_new


def ugrnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    c = np.tanh(W.n(x) + U.n(h))
    g = sigma(W.g(x) + U.g(h))
    return (g * h + (1 - g) * c,)


def lem(W: Any, U: Any, V: Any, s: Any, x: Array, y: Array, z: Array) -> States:
    delta_t = 1 * sigma(U.a(y) + W.a(x))
    delta_t_bar = 1 * sigma(U.b(y) + W.b(x))
    z_new = (1 - delta_t) * z + delta_t * np.tanh(U.z(y) + W.z(x))
    y_new = (1 - delta_t_bar) * y + delta_t_bar * np.tanh(U.y(z_new) + W.y(x))
    return y_new, z_new


def cfn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    theta = sigma(U.f(h) + W.f(x))
    eta = sigma(U.i(h) + W.i(x))
    return (theta * np.tanh(h) + eta * np.tanh(W.n(x)),)


def nas(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    # the leaves of the tree, then its levels
    leaf = [
        sigma(W.a(x) + U.a(h)),
        rectifier(W.b(x) + U.b(h)),
        sigma(W.c(x) + U.c(h)),
        rectifier(W.d(x) * U.d(h)),
        np.tanh(W.e(x) + U.e(h)),
        sigma(W.f(x) + U.f(h)),
        np.tanh(W.g(x) + U.g(h)),
        sigma(W.h(x) + U.h(h)),
    ]
    second = [
        np.tanh(leaf[0] * leaf[1]),
        np.tanh(leaf[2] + leaf[3]),
        np.tanh(leaf[4] * leaf[5]),
        sigma(leaf[6] + leaf[7]),
    ]
    memory = np.tanh(second[0] + c) * second[1]
    return np.tanh(memory * np.tanh(second[2] + second[3])), memory


def mut1(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.z(x))
    r = sigma(W.r(x) + U.r(h))
    return (np.tanh(U.n(r * h) + np.tanh(x)) * z + h * (1 - z),)


def mut2(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.z(x) + U.z(h))
    r = sigma(x + U.r(h))
    return (np.tanh(U.n(r * h) + W.n(x)) * z + h * (1 - z),)


def mut3(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = sigma(W.z(x) + U.z(np.tanh(h)))
    r = sigma(W.r(x) + U.r(h))
    return (np.tanh(U.n(r * h) + W.n(x)) * z + h * (1 - z),)


def ran(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array, c: Array) -> States:
    c_tilde = W.n(x)
    i = sigma(U.i(h) + W.i(x))
    f = sigma(U.f(h) + W.f(x))
    c_new = i * c_tilde + f * c
    return np.tanh(c_new), c_new


def star(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    k = sigma(W.k(x) + U.k(h))
    z = np.tanh(W.n(x))
    return (np.tanh((1 - k) * h + k * z),)


def brc(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    a = 1 + np.tanh(W.a(x) + V.a * h)
    c = sigma(W.c(x) + V.c * h)
    return (c * h + (1 - c) * np.tanh(W.n(x) + a * h),)


def nbrc(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    a = 1 + np.tanh(W.a(x) + U.a(h))
    c = sigma(W.c(x) + U.c(h))
    return (c * h + (1 - c) * np.tanh(W.n(x) + a * h),)


def atr(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    i = sigma(W.p(x) + U.p(h))
    f = sigma(W.p(x) - U.p(h))
    return (i * W.p(x) + f * h,)


def minimal_rnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    z = np.tanh(W.z(x))
    u = sigma(U.h(h) + U.z(z))
    return (u * h + (1 - u) * z,)


def leaky_rnn(W: Any, U: Any, V: Any, s: Any, x: Array, h: Array) -> States:
    return (0.9 * h + 0.1 * np.tanh(W.h(x) + U.h(h)),)


EQUATIONS: list[tuple[Cell, Equations]] = [
    (cells.AntisymmetricRNN(), antisymmetric_rnn),
    (cells.ATR(), atr),
    (cells.BRC(), brc),
    (cells.CFN(), cfn),
    (cells.CoRNN(), cornn),
    (cells.CoupledLSTM(), coupled_lstm),
    (cells.FastGRNN(), fast_grnn),
    (cells.GRU(), gru),
    (cells.IndRNN(), indrnn),
    (cells.JANET(), janet),
    (cells.LEM(), lem),
    (cells.LSTM(), lstm),
    (cells.LeakyRNN(), leaky_rnn),
    (cells.LiGRU(), ligru),
    (cells.MGU(), mgu),
    (cells.MUT1(), mut1),
    (cells.MUT2(), mut2),
    (cells.MUT3(), mut3),
    (cells.MinGRU(), min_gru),
    (cells.MinLSTM(), min_lstm),
    (cells.MinimalRNN(), minimal_rnn),
    (cells.MultiplicativeLSTM(), multiplicative_lstm),
    (cells.NAS(), nas),
    (cells.NBRC(), nbrc),
    (cells.OriginalGRU(), original_gru),
    (cells.PeepholeLSTM(), peephole_lstm),
    (cells.QRNN(), qrnn),
    (cells.RAN(), ran),
    (cells.RGLRU(), rg_lru),
    (cells.RNN(), rnn(np.tanh)),
    (cells.RNN(nonlinearity="relu"), rnn(rectifier)),
    (cells.RNN(nonlinearity="sigmoid"), rnn(sigma)),
    (cells.RNN(nonlinearity="identity"), rnn(lambda a: a)),
    (cells.SLSTM(), slstm),
    (cells.SRU(), sru),
    (cells.SRU(projected_skip=True), sru_of_other_size),
    (cells.STAR(), star),
    (cells.UGRNN(), ugrnn),
]
