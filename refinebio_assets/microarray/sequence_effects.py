"""Regression of log intensity on probe sequence, without the design matrix.

The design of SCAN (Piccolo et al., Genomics 100:337, 2012; after Johnson et al., PNAS
103:12457, 2006) has, for probes of L bases, 3L + 5 columns: the number of Ts, an indicator of
A at every position, the same of C and of G, and the squares of the numbers of A, C, G and T.
There is no intercept: the first columns span it. A prediction is a sum of a few numbers
looked up by runs of five bases and by base composition; the normal equations come from
weighted counts of the bases at every pair of positions, taken two positions at a time. Not
here: the mixture that gives the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation, ModelNotFitted

Floats = NDArray[np.float64]

_T = 3
_WORD_BASES = 5
_WORDS = 4**_WORD_BASES
_DIMERS = 16

# Of a column's sum of squares, what the columns before it must leave unexplained. Rounding
# leaves about 1e-14 of a column that depends on them; real arrays leave more than 1e-4.
_SINGULAR_BELOW = 1e-12


@dataclass(frozen=True, eq=False)
class PackedSequences:
    """The sequences of n probes, ready for predictions; read only.

    Attributes
    ----------
    length
        L, bases of a probe.
    t_excess
        What the number of Ts is counted too high by (0; 10 in SCAN for bead arrays, which
        subtracts the other bases of a 50-mer from 60).
    words
        (n, ceil(L / 5) + 1): places in the table of a prediction.
    squares
        (compositions, 4): squared numbers of A, C, G, T of every base composition present.
    """

    length: int
    t_excess: int
    words: NDArray[np.uint16]
    squares: Floats

    def __len__(self) -> int:
        return len(self.words)

    @property
    def columns(self) -> int:
        """Columns of the design: 3L + 5."""
        return 3 * self.length + 5

    def predict(self, coefficients: Floats) -> Floats:
        """Predicted log intensity of every probe, (n,), from (3L + 5,) coefficients."""
        predicted = np.empty(len(self.words))
        _sum_of_looked_up(self.words, self._table(coefficients), predicted)
        return predicted

    def _table(self, coefficients: Floats) -> Floats:
        """What every word at every place, and every composition, adds to a prediction."""
        length, (of_t, of_squares) = self.length, (coefficients[0], coefficients[-4:])
        places = self.words.shape[1] - 1
        of_base = np.zeros((places * _WORD_BASES, 4))
        of_base[:length, :_T] = coefficients[1:-4].reshape(_T, length).T
        of_base[:length, _T] = of_t
        of_base = of_base.reshape(places, _WORD_BASES, 4)
        of_words = of_base[:, 0]
        for base in range(1, _WORD_BASES):
            sums = of_words[:, :, None] + of_base[:, base, None, :]
            of_words = sums.reshape(places, -1)
        of_compositions = (self.squares * of_squares).sum(axis=1) + self.t_excess * of_t
        return np.concatenate([of_words.ravel(), of_compositions])


def pack_sequences(sequence: NDArray[np.uint8], t_counted_from: int | None) -> PackedSequences:
    """Prepare sequences for predictions.

    Parameters
    ----------
    sequence
        (n, L) codes: 0 A, 1 C, 2 G, anything else counts as T.
    t_counted_from
        From what the numbers of A, C and G are subtracted to give that of T; None for L.

    Raises
    ------
    InvalidProbeAnnotation
        Probes so long that their base compositions do not fit the table (above 60 bases).
    """
    n, length = sequence.shape
    excess = 0 if t_counted_from is None else t_counted_from - length
    places = -(-length // _WORD_BASES)
    bases = np.full((n, places * _WORD_BASES), _T, dtype=np.uint8)
    np.minimum(sequence, _T, out=bases[:, :length])

    counts = [np.count_nonzero(bases == base, axis=1) for base in range(_T)]
    key = np.ravel_multi_index(counts, [length + 1] * _T)
    present, composition = np.unique(key, return_inverse=True)
    of_bases = np.stack(np.unravel_index(present, [length + 1] * _T), axis=1)
    of_t = length + excess - of_bases.sum(axis=1, keepdims=True)
    squares = np.hstack([of_bases, of_t]).astype(np.float64) ** 2

    if places * _WORDS + len(present) > np.iinfo(np.uint16).max:
        raise InvalidProbeAnnotation(f"Probes of {length} bases are longer than SCAN can take.")
    words = np.zeros((n, places + 1), dtype=np.uint16)
    for place in range(places):
        for base in range(place * _WORD_BASES, (place + 1) * _WORD_BASES):
            words[:, place] = 4 * words[:, place] + bases[:, base]
        words[:, place] += place * _WORDS
    words[:, places] = places * _WORDS + composition
    return PackedSequences(length, excess, _read_only(words), _read_only(squares))


@dataclass(frozen=True, eq=False)
class SequenceRegression:
    """The probes to which a regression is fitted; read only.

    Attributes
    ----------
    sequences
        The m probes, for predictions.
    dimers
        (ceil(L / 2), m): which two bases (first * 4 + second) are at each two positions.
    squares
        (m, 4): squared numbers of A, C, G, T of every probe.
    """

    sequences: PackedSequences
    dimers: NDArray[np.uint8]
    squares: Floats

    def predict(self, coefficients: Floats) -> Floats:
        """Predicted log intensity, (m,)."""
        return self.sequences.predict(coefficients)

    def least_squares(self, y: Floats, weights: Floats) -> Floats:
        """The (3L + 5,) coefficients that minimise the sum of weights * (y - prediction)².

        Raises
        ------
        ModelNotFitted
            The columns of the design depend on each other, or a weight is not finite.
        """
        matrix, right = self._normal_equations(y, weights)
        coefficients = np.empty(len(right))
        independent = _solve_positive_definite(matrix, right, _SINGULAR_BELOW, coefficients)
        if independent < len(right):
            raise ModelNotFitted(
                f"The regression on probe sequence is singular: column {independent + 1} of "
                f"{len(right)} is determined by those before it (it counts Ts, then has A, C "
                f"and G at each of {self.sequences.length} positions, then squared numbers)."
            )
        return coefficients

    def _normal_equations(self, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Xᵀ W X, of which the lower triangle counts, and Xᵀ W y.

        The products are first taken of features that are easy to count: indicators of all
        four bases at every position, the four squares, 1 and y. The number of Ts is a sum of
        such features; it takes the place of the 1.
        """
        length, positions = self.sequences.length, 2 * len(self.dimers)
        one = 4 * positions + 4
        products = np.zeros((one + 2, one + 2))
        _weighted_products(self.dimers, self.squares, y, weights, products)
        products = np.triu(products) + np.triu(products, 1).T

        ts = 4 * np.arange(length) + _T
        excess = self.sequences.t_excess
        products[one] = products[ts].sum(axis=0) + excess * products[one]
        products[:, one] = products[:, ts].sum(axis=1) + excess * products[:, one]
        indicators = (4 * np.arange(length) + np.arange(_T)[:, None]).ravel()
        columns = np.concatenate([[one], indicators, np.arange(one - 4, one)])
        return products[np.ix_(columns, columns)], products[columns, one + 1]


def regression_on_every(
    step: int, sequence: NDArray[np.uint8], packed: PackedSequences
) -> SequenceRegression:
    """Prepare fits to every `step`-th probe, the first included, of the packed `sequence`."""
    words = np.ascontiguousarray(packed.words[::step])
    composition = words[:, -1] - (words.shape[1] - 1) * _WORDS
    length = packed.length
    bases = np.full((len(words), length + length % 2), _T, dtype=np.uint8)
    np.minimum(sequence[::step], _T, out=bases[:, :length])
    dimers = np.ascontiguousarray((4 * bases[:, 0::2] + bases[:, 1::2]).T)
    return SequenceRegression(
        PackedSequences(length, packed.t_excess, _read_only(words), packed.squares),
        _read_only(dimers),
        _read_only(packed.squares[composition]),
    )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


# --- compiled -------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _sum_of_looked_up(words: NDArray[np.uint16], table: Floats, sums: Floats) -> None:
    for i in range(len(words)):
        total = 0.0
        for place in range(words.shape[1]):
            total += table[words[i, place]]
        sums[i] = total


@njit(cache=True, nogil=True)
def _weighted_products(
    dimers: NDArray[np.uint8], squares: Floats, y: Floats, weights: Floats, products: Floats
) -> None:
    """Add Σ w f fᵀ to `products`, of which the upper triangle counts.

    f: indicators of A, C, G, T at every position, then the squares, 1 and y.
    """
    blocks, rows = dimers.shape
    others = np.empty((rows, 6))
    for i in range(rows):
        others[i, :4] = squares[i]
        others[i, 4] = 1.0
        others[i, 5] = y[i]
    start = 8 * blocks
    for i in range(rows):
        for j in range(6):
            weighted = weights[i] * others[i, j]
            for k in range(j, 6):
                products[start + j, start + k] += weighted * others[i, k]
    for i in range(rows):
        others[i] *= weights[i]

    pairs = np.empty((_DIMERS, _DIMERS))
    sums = np.empty((_DIMERS, 6))
    for a in range(blocks):
        sums[:] = 0.0
        for i in range(rows):
            dimer = dimers[a, i]
            for k in range(6):
                sums[dimer, k] += others[i, k]
        for dimer in range(_DIMERS):
            first, second = 8 * a + dimer // 4, 8 * a + 4 + dimer % 4
            for k in range(6):
                products[first, start + k] += sums[dimer, k]
                products[second, start + k] += sums[dimer, k]
        for b in range(a, blocks):
            pairs[:] = 0.0
            for i in range(rows):
                pairs[dimers[a, i], dimers[b, i]] += weights[i]
            for left in range(_DIMERS):
                first, second = 8 * a + left // 4, 8 * a + 4 + left % 4
                for right in range(_DIMERS):
                    third, fourth = 8 * b + right // 4, 8 * b + 4 + right % 4
                    weight = pairs[left, right]
                    products[first, third] += weight
                    products[first, fourth] += weight
                    products[second, third] += weight
                    products[second, fourth] += weight


@njit(cache=True, nogil=True)
def _solve_positive_definite(
    matrix: Floats, right: Floats, singular_below: float, solution: Floats
) -> int:
    """Solve by Cholesky's method, in place of the upper triangle of `matrix`.

    Returns how many columns were found independent; fewer than all of them mean no solution.
    """
    n = len(right)
    for j in range(n):
        solution[j] = matrix[j, j]
    for j in range(n):
        if not matrix[j, j] > singular_below * solution[j]:  # not a number as well
            return j
        root = np.sqrt(matrix[j, j])
        for k in range(j, n):
            matrix[j, k] /= root
        for i in range(j + 1, n):
            factor = matrix[j, i]
            for k in range(i, n):
                matrix[i, k] -= factor * matrix[j, k]

    for j in range(n):
        solution[j] = right[j]
    for j in range(n):
        solution[j] /= matrix[j, j]
        for k in range(j + 1, n):
            solution[k] -= matrix[j, k] * solution[j]
    for j in range(n - 1, -1, -1):
        for k in range(j + 1, n):
            solution[j] -= matrix[j, k] * solution[k]
        solution[j] /= matrix[j, j]
    return n
