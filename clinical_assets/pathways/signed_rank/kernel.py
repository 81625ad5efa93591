"""The compiled part of the signed-rank test: all-integer, one walk over the genes per subject.

What belongs here: the four numba functions. What does not: anything that checks, converts or explains.
Imported only by functions that need it, because numba is slow to import.

How it works. Order the genes of a subject by |d|. Walk them in that order; for every set that holds the gene,
the number of its genes met so far *is* the gene's rank within the set. One machine word per set holds that
count (high bits) and twice W+ (low bits), so that ten thousand sets stay in the first cache levels and a
positive gene costs one load, three operations and one store per set.

Compiled code is kept on disk only if the environment variable NUMBA_CACHE_DIR names a folder: never beside
the package, and never unasked, because numba's cache files are unpickled when read.
"""

# mypy: ignore-errors
# numba reads these functions as its own typed language; Python's annotations have no meaning in them.
from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from clinical_assets.pathways.signed_rank.layout import BLOCK

_U = np.uint64
_ONE = np.uint64(1)
_BLOCK = np.uint64(BLOCK)
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
#: A sort word: bit 63 "equal to the next", bits 31-54 the leading bits of |d|, bits 1-30 the gene's slot,
#: bit 0 "positive".
_TIED = np.uint64(1 << 63)
_SLOT = np.uint64(0x3FFFFFFF)
_KEY = np.uint64(31)
_KEY_BITS = np.uint64(24)
_HALF_KEY = np.uint64(12)
_RADIX = np.uint64(4096)
_DIGIT = np.uint64(4095)
#: Shell sort's gaps (Ciura 2001, doi 10.1007/3-540-44669-9_12), for runs that agree in the leading bits.
_GAPS = np.array([1750, 701, 301, 132, 57, 23, 10, 4, 1], dtype=np.int64)
#: Genes ahead whose lists are asked for; 2 to 8 measured alike.
_AHEAD = np.uint64(4)

_jit = numba.njit(nogil=True, cache=bool(numba.config.CACHE_DIR))


@intrinsic
def _prefetch(_context, array, position):
    """Ask for the cache line of ``array[position]`` without waiting: genes come in an order no predictor knows."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0i8"
        )
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [address, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, position), generate


@_jit
def fill_members(flat, sizes, free, members):
    """Write each set's number into the lists of its genes; `free` holds each gene's next free place.

    Examples
    --------
    Set 0 holds genes 0 and 2, set 1 gene 2 alone; gene 0 has one place, gene 2 the two behind it:

    >>> members = np.zeros(3, dtype=np.uint16)
    >>> flat, sizes, free = np.array([0, 2, 2], np.uint64), np.array([2, 1]), np.array([0, 1, 1], np.uint64)
    >>> fill_members(flat, sizes, free, members)
    >>> members.tolist()  # set 0 of gene 0, then sets 0 and 1 of gene 2
    [0, 0, 1]
    """
    at = np.uint64(0)
    for s in range(sizes.shape[0]):
        for _ in range(sizes[s]):
            g = flat[at]
            k = free[g]
            members[k] = s
            free[g] = k + _ONE
            at += _ONE


@_jit
def _settle_run(bits, genes, run, out):
    """Order words that agree in the leading bits by all bits (Shell sort) and mark the tied; any tied?"""
    for gap in _GAPS:
        for a in range(gap, run.shape[0]):
            w = run[a]
            magnitude = bits[genes[(w >> _ONE) & _SLOT]] & _MAGNITUDE
            b = a
            while b >= gap and bits[genes[(run[b - gap] >> _ONE) & _SLOT]] & _MAGNITUDE > magnitude:
                run[b] = run[b - gap]
                b -= gap
            run[b] = w
    tied = False
    for a in range(run.shape[0]):
        out[a] = run[a]
        if a + 1 < run.shape[0]:
            here = bits[genes[(run[a] >> _ONE) & _SLOT]] & _MAGNITUDE
            if here == bits[genes[(run[a + 1] >> _ONE) & _SLOT]] & _MAGNITUDE:
                out[a] |= _TIED
                tied = True
    return tied


@_jit
def _order(bits, genes, words, other, digits):
    """Sort words of the non-zero genes by |d| into `words`; returns their number and whether any are tied.

    Two counting passes over the leading 24 bits of the span of |d|, then the few runs that agree in them are
    put in order by all bits. Non-negative floats order like their bit patterns, so only integers are compared.
    """
    n_genes = _U(genes.shape[0])
    low, high = _MAGNITUDE, np.int64(0)
    for j in range(n_genes):
        magnitude = bits[genes[j]] & _MAGNITUDE
        if magnitude != 0:
            low = min(low, magnitude)
            high = max(high, magnitude)
    shift = _U(0)
    while high > low and (_U(high - low) >> shift) >> _KEY_BITS:
        shift += _ONE
    digits[:] = 0
    m = _U(0)
    for j in range(n_genes):
        value = bits[genes[j]]
        magnitude = value & _MAGNITUDE
        key = _U(magnitude - low) >> shift
        other[m] = (key << _KEY) | (j << _ONE) | _U(value >= 0)
        if magnitude != 0:
            digits[key & _DIGIT] += _ONE
            digits[_RADIX + (key >> _HALF_KEY)] += _ONE
            m += _ONE
    first, second = _U(0), _U(0)
    for i in range(_RADIX):
        n = digits[i]
        digits[i] = first
        first += n
        n = digits[_RADIX + i]
        digits[_RADIX + i] = second
        second += n
    for i in range(m):
        w = other[i]
        k = (w >> _KEY) & _DIGIT
        place = digits[k]
        digits[k] = place + _ONE
        words[place] = w
    for i in range(m):
        w = words[i]
        k = _RADIX + (w >> (_KEY + _HALF_KEY))
        place = digits[k]
        digits[k] = place + _ONE
        other[place] = w
    tied = False
    i = _U(0)
    while i < m:
        w = other[i]
        words[i] = w
        last = i + _ONE
        while last < m and other[last] >> _KEY == w >> _KEY:
            last += _ONE
        if last > i + _ONE:
            tied |= _settle_run(bits, genes, other[i:last], words[i:last])
        i = last
    return m, tied


@_jit
# Leaving zeros out and ranking the rest share every counter: split, each part would take all the arguments.
def walk_subjects(bits, genes, starts, members, counters, half, pratt, n_used, w_twice, zeros, ties):  # noqa: C901, PLR0915
    """Counts, doubled positive rank sums, zeros and tie terms of a block of subjects.

    Parameters
    ----------
    bits : int64 array (n_subjects, n_genes)
        The bit patterns of the float64 differences, free of NaN.
    genes, starts, members
        Of a `MembershipIndex`.
    counters : uint32 or uint64 array (n_sets + BLOCK,)
        Scratch. The low `half` bits take twice W+, the high ones the running count.
    half : same type as counters
        22 for uint32 (sets of up to 1,023 genes), 42 for uint64 (up to 2**21).
    pratt : bool
        True: zeros take the lowest ranks (Pratt); False: zeros are left out (Wilcoxon).
    n_used, w_twice, zeros, ties : int64 arrays (n_subjects, n_sets)
        Results: ranked genes, twice W+, zeros, and the sum over tied groups of t**3 - t. The last two are
        written only for subjects that have zeros or ties: pass them zeroed.

    Returns
    -------
    bool
        Whether any of the subjects had a zero or a tie.

    Examples
    --------
    One subject, one set of three genes with differences 1, -2 and 3:

    >>> genes, starts = np.arange(3, dtype=np.uint64), np.arange(0, 25, BLOCK, dtype=np.uint64)
    >>> members = np.tile(np.arange(1, 1 + BLOCK, dtype=np.uint16), 3)
    >>> members[::BLOCK] = 0  # each gene is in set 0; the rest of its block are counters that nobody reads
    >>> n_used, w_twice, zeros, ties = (np.zeros((1, 1), dtype=np.int64) for _ in range(4))
    >>> bits = np.array([[1.0, -2.0, 3.0]]).view(np.int64)
    >>> counters = np.zeros(1 + BLOCK, dtype=np.uint32)
    >>> walk_subjects(bits, genes, starts, members, counters, np.uint32(22), False, n_used, w_twice, zeros, ties)
    False
    >>> n_used.tolist(), w_twice.tolist()  # W+ = 1 + 3
    ([[3]], [[8]])
    """
    n_sets = n_used.shape[1]
    one = counters.dtype.type(1) << half
    twice = counters.dtype.type(1)
    low = one - twice
    words = np.empty(genes.shape[0], dtype=np.uint64)
    other = np.empty(genes.shape[0], dtype=np.uint64)
    digits = np.empty(8192, dtype=np.uint64)
    # Of the tied genes at hand, how many are in a set (low half) and how many of those are positive (high half).
    group = np.zeros(n_sets + BLOCK, dtype=np.uint64)
    special = False
    for subject in range(bits.shape[0]):
        row = bits[subject]
        m, tied = _order(row, genes, words, other, digits)
        counters[:] = 0
        if m < _U(genes.shape[0]):
            special = True
            for j in range(_U(genes.shape[0])):
                if row[genes[j]] & _MAGNITUDE == 0:
                    for k in range(starts[j], starts[j + _ONE]):
                        counters[members[k]] += one
            for s in range(n_sets):
                zeros[subject, s] = counters[s] >> half
            if not pratt:
                counters[:] = 0
        special = special or tied
        i = _U(0)
        while i < m:
            if i + _AHEAD < m:
                ahead = starts[(words[i + _AHEAD] >> _ONE) & _SLOT]
                _prefetch(members, ahead)
                _prefetch(members, ahead + _U(32))
                _prefetch(members, ahead + _U(64))
            w = words[i]
            if not w & _TIED:
                slot = (w >> _ONE) & _SLOT
                k = starts[slot]
                end = starts[slot + _ONE]
                if w & _ONE:
                    while k < end:
                        for q in range(_BLOCK):
                            holder = members[k + q]
                            word = counters[holder] + one
                            counters[holder] = word + ((word >> half) << twice)
                        k += _BLOCK
                else:
                    while k < end:
                        for q in range(_BLOCK):
                            counters[members[k + q]] += one
                        k += _BLOCK
                i += _ONE
                continue
            last = i
            while words[last] & _TIED:
                last += _ONE
            for a in range(i, last + _ONE):
                slot = (words[a] >> _ONE) & _SLOT
                mark = _ONE | ((words[a] & _ONE) << _U(32))
                for k in range(starts[slot], starts[slot + _ONE]):
                    group[members[k]] += mark
            for a in range(i, last + _ONE):
                slot = (words[a] >> _ONE) & _SLOT
                for k in range(starts[slot], starts[slot + _ONE]):
                    holder = members[k]
                    met = group[holder]
                    if met != 0:
                        # Midrank of t genes after n: n + (t + 1) / 2; doubled, it stays an integer.
                        t = met & _U(0xFFFFFFFF)
                        word = counters[holder]
                        ranks = (_U(word >> half) * _U(2) + t + _ONE) * (met >> _U(32))
                        counters[holder] = word + counters.dtype.type(ranks) + counters.dtype.type(t) * one
                        if t > _ONE and holder < n_sets:
                            ties[subject, holder] += np.int64(t * t * t - t)
                        group[holder] = 0
            i = last + _ONE
        for s in range(n_sets):
            n_used[subject, s] = counters[s] >> half
            w_twice[subject, s] = counters[s] & low
    return special
