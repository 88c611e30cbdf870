"""A linear-chain conditional random field: the score of a whole sequence of tags.

The score of tags y over T steps, given emissions e (scores of each tag at each step), is

    s(y) = start[y_1] + Σ_t e_t[y_t] + Σ_t A[y_{t-1}, y_t] + end[y_T]

and p(y) = exp(s(y)) / Z, where Z sums over all sequences (Lafferty, McCallum & Pereira, 2001).
Everything here is exact: log Z by the forward algorithm, marginals by forward and backward, the
best sequences by Viterbi's algorithm.

Time is the first dimension. Rows have lengths of their own; what stands in the padding, NaN
included, changes nothing. Sums are normalised at each step, so that their accuracy does not depend
on the length. They run as products of matrices of probabilities in float64 where it is certain that
none of these is too small for it, and else in log space, which takes several times as long. Under
mixed precision everything is computed in float32 or float64.
"""

from __future__ import annotations

from .best import Best as Best
from .field import ConditionalRandomField as ConditionalRandomField
from .paths import Paths as Paths
