"""The signed-rank test against scipy, bit for bit, and the properties that N-of-1 scores rest on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import wilcoxon

from clinical_assets.pathways.signed_rank.membership import GeneSetIndexError, membership_index
from clinical_assets.pathways.signed_rank.signed_rank import SignedRankError, SignedRankResult, signed_rank

RESULTS = ("w_plus", "w_minus", "z", "p_value", "n_used")
FAST = settings(max_examples=150)


def same(a: SignedRankResult, b: SignedRankResult) -> None:
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@st.composite
def differences(draw: st.DrawFn, *, min_genes: int = 1, max_genes: int = 90) -> np.ndarray:
    """One subject's differences: smooth, tied, full of zeros, tiny, huge, or single precision."""
    n = draw(st.integers(min_genes, max_genes))
    kind = draw(st.sampled_from(["smooth", "tied", "zeros", "wild", "float32"]))
    if kind == "wild":
        elements = st.floats(allow_nan=False, allow_infinity=False, width=64)
        return draw(hnp.arrays(np.float64, n, elements=elements))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d = rng.normal(loc=draw(st.sampled_from([0.0, 0.4, -1.5])), size=n)
    if kind == "tied":
        return np.round(d, draw(st.sampled_from([0, 1])))
    if kind == "zeros":
        return np.where(rng.random(n) < 0.3, 0.0, d)
    return d.astype(np.float32) if kind == "float32" else d


def scipy_p(d: np.ndarray, *, zero_method: str, correction: bool, exact: bool) -> float:
    method = "exact" if exact else "approx"
    return float(wilcoxon(d.astype(np.float64), zero_method=zero_method, correction=correction, method=method).pvalue)


@FAST
@given(differences(), st.sampled_from(["wilcox", "pratt"]), st.booleans())
def test_p_is_bit_equal_to_scipy_where_scipy_uses_the_same_method(d: np.ndarray, zeros: str, correct: bool) -> None:
    result = signed_rank(d[None, :], [np.arange(d.size)], zero_method=zeros, correction=correct)  # type: ignore[arg-type]
    if not np.any(d):
        assert np.isnan(result.p_value[0, 0])
        return
    magnitude = np.abs(d[d != 0])
    exact = d.size <= 50 and np.all(d != 0) and np.unique(magnitude).size == magnitude.size
    assert result.p_value[0, 0] == scipy_p(d, zero_method=zeros, correction=correct, exact=bool(exact))


@FAST
@given(differences(), st.sampled_from(["wilcox", "pratt"]))
def test_sums_and_z_equal_scipys(d: np.ndarray, zeros: str) -> None:
    d = d.astype(np.float64)
    if not np.any(d):
        return
    result = signed_rank(d[None, :], [np.arange(d.size)], zero_method=zeros, correction=False)  # type: ignore[arg-type]
    reference = wilcoxon(d, zero_method=zeros, correction=False, method="approx")
    assert min(result.w_plus[0, 0], result.w_minus[0, 0]) == reference.statistic
    assert -abs(result.z[0, 0]) == reference.zstatistic


@FAST
@given(differences(max_genes=50), st.sampled_from(["wilcox", "pratt"]))
def test_forced_exact_equals_scipy_with_ties_and_zeros_too(d: np.ndarray, zeros: str) -> None:
    if not np.any(d):
        return
    result = signed_rank(d[None, :], [np.arange(d.size)], zero_method=zeros, method="exact")  # type: ignore[arg-type]
    assert result.p_value[0, 0] == scipy_p(d, zero_method=zeros, correction=False, exact=True)


def test_forced_exact_beyond_fifty_genes_agrees_with_scipy_to_rounding() -> None:
    d = np.random.default_rng(3).normal(0.1, size=(1, 300))
    p = signed_rank(d, [np.arange(300), np.arange(77)], method="exact").p_value[0]
    expected = [scipy_p(d[0, :n], zero_method="wilcox", correction=False, exact=True) for n in (300, 77)]
    np.testing.assert_allclose(p, expected, rtol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["wilcox", "pratt"]), st.sampled_from([None, 1, 2]))
def test_many_overlapping_sets_equal_a_scipy_loop(seed: int, zeros: str, decimals: int | None) -> None:
    rng = np.random.default_rng(seed)
    d = rng.normal(size=(3, 200))
    d = d if decimals is None else np.round(d, decimals)
    sets = [rng.choice(200, rng.integers(51, 150), replace=False) for _ in range(6)]
    p = signed_rank(d, sets, zero_method=zeros, correction=False).p_value  # type: ignore[arg-type]
    for i, row in enumerate(d):
        expected = [scipy_p(row[s], zero_method=zeros, correction=False, exact=False) for s in sets]
        np.testing.assert_array_equal(p[i], expected)


def test_a_set_of_thousands_of_genes_uses_wide_counters_and_equals_scipy() -> None:
    rng = np.random.default_rng(7)
    d = np.round(rng.normal(0.02, size=(2, 6000)), 3)
    sets = [np.arange(6000), np.arange(1500), np.arange(20)]
    p = signed_rank(d, sets, correction=True).p_value
    for i in range(2):
        for j, s in enumerate(sets[:2]):
            assert p[i, j] == scipy_p(d[i, s], zero_method="wilcox", correction=True, exact=False)


def test_float32_equals_its_own_widening_and_integers_are_accepted() -> None:
    rng = np.random.default_rng(0)
    single = rng.normal(size=(4, 120)).astype(np.float32)
    sets = [rng.choice(120, 40, replace=False) for _ in range(5)]
    same(signed_rank(single, sets), signed_rank(single.astype(np.float64), sets))
    whole = rng.integers(-5, 6, size=(4, 120))
    same(signed_rank(whole, sets), signed_rank(whole.astype(np.float64), sets))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_one_subjects_results_never_depend_on_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = np.round(rng.normal(size=(6, 80)), 2)
    sets = [rng.choice(80, 30, replace=False) for _ in range(4)]
    whole = signed_rank(d, sets)
    for i in range(6):
        alone = signed_rank(d[i : i + 1], sets)
        for name in RESULTS:
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(whole, name)[i])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["wilcox", "pratt"]))
def test_changing_every_sign_swaps_the_sums_and_keeps_p(seed: int, zeros: str) -> None:
    d = np.round(np.random.default_rng(seed).normal(0.3, size=(2, 70)), 1)
    sets = [np.arange(70), np.arange(0, 70, 2)]
    up, down = (signed_rank(x, sets, zero_method=zeros) for x in (d, -d))  # type: ignore[arg-type]
    np.testing.assert_array_equal(up.w_plus, down.w_minus)
    np.testing.assert_array_equal(up.p_value, down.p_value)
    np.testing.assert_array_equal(up.z, -down.z)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_order_of_genes_and_a_common_scale_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = np.round(rng.normal(size=(2, 90)), 2)
    sets = [rng.choice(90, 45, replace=False) for _ in range(3)]
    plain = signed_rank(d, sets)
    same(plain, signed_rank(d * 4.0, sets))
    shuffle = rng.permutation(90)
    place = np.argsort(shuffle)
    same(plain, signed_rank(d[:, shuffle], [place[s] for s in sets]))
    same(plain, signed_rank(d, [rng.permutation(s) for s in sets]))


def test_a_prepared_index_gives_the_same_as_the_sets() -> None:
    rng = np.random.default_rng(1)
    d, sets = rng.normal(size=(5, 60)), [rng.choice(60, 20, replace=False) for _ in range(7)]
    same(signed_rank(d, sets), signed_rank(d, membership_index(sets, n_genes=60)))


def test_magnitudes_that_agree_in_their_leading_bits_are_still_ordered_exactly() -> None:
    rng = np.random.default_rng(5)
    d = (1.0 + rng.permutation(400) * 2.0**-52) * rng.choice([-1.0, 1.0], 400)
    d[0] = 1e300  # stretches the span so far that all the others look alike
    everything = np.arange(400)
    p = signed_rank(d[None, :], [everything], correction=False).p_value[0, 0]
    assert p == scipy_p(d, zero_method="wilcox", correction=False, exact=False)


def test_results_are_independent_of_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    rng = np.random.default_rng(2)
    d, sets = rng.normal(size=(9, 50)), [rng.choice(50, 25, replace=False) for _ in range(4)]
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    one = signed_rank(d, sets)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    same(one, signed_rank(d, sets))


def test_empty_sets_and_all_zero_sets_have_no_p_and_zero_sums() -> None:
    d = np.array([[0.0, 0.0, 1.0]])
    for zeros in ("wilcox", "pratt"):
        for method in ("auto", "exact", "approx"):
            result = signed_rank(
                d,
                [[], [0, 1], [2]],
                zero_method=zeros,
                method=method,  # type: ignore[arg-type,list-item]
            )
            assert np.isnan(result.p_value[0, :2]).all()
            assert np.isnan(result.z[0, :2]).all()
            assert result.p_value[0, 2] == 1.0 or method == "approx"
            np.testing.assert_array_equal(result.w_plus, [[0, 0, 1]])
    assert signed_rank(np.empty((0, 3)), [[0]]).p_value.shape == (0, 1)
    assert signed_rank(np.ones((2, 3)), []).p_value.shape == (2, 0)


def test_nan_is_refused_with_its_place() -> None:
    d = np.ones((3, 4))
    d[2, 1] = np.nan
    with pytest.raises(SignedRankError, match="subject row 2, gene column 1 is NaN"):
        signed_rank(d, [[0, 2]])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([[0, 9]], "gene set 0 names gene position 9"),
        ([[0], [1, -1]], "gene set 1 names gene position -1"),
        ([[0], [], [2, 1, 2]], "gene set 2 names gene position 2 twice"),
        ([[0.5, 1.0]], "type float64"),
    ],
)
def test_positions_that_do_not_fit_are_refused_by_set(sets: list[list[float]], message: str) -> None:
    with pytest.raises(GeneSetIndexError, match=message):
        signed_rank(np.ones((1, 4)), sets)


def test_unknown_options_and_shapes_are_refused() -> None:
    d = np.ones((1, 3))
    with pytest.raises(SignedRankError, match="zero_method 'zsplit'"):
        signed_rank(d, [[0]], zero_method="zsplit")  # type: ignore[arg-type]
    with pytest.raises(SignedRankError, match="method 'normal'"):
        signed_rank(d, [[0]], method="normal")  # type: ignore[arg-type]
    with pytest.raises(SignedRankError, match=r"shape \(3,\)"):
        signed_rank(d[0], [[0]])
    with pytest.raises(SignedRankError, match="type complex128"):
        signed_rank(d.astype(complex), [[0]])
    with pytest.raises(SignedRankError, match="made for 3 genes"):
        signed_rank(np.ones((1, 5)), membership_index([[0]], n_genes=3))
    with pytest.raises(SignedRankError, match="set of 1001 genes"):
        signed_rank(np.ones((1, 1001)), [np.arange(1001)], method="exact")


def test_under_the_null_p_values_are_uniform() -> None:
    rng = np.random.default_rng(11)
    d = rng.normal(size=(4000, 40))
    p = signed_rank(d, [np.arange(40)]).p_value[:, 0]
    for level in (0.01, 0.05, 0.2):
        hits = int((p <= level).sum())
        spread = 4 * np.sqrt(4000 * level * (1 - level))
        assert 4000 * level - spread - 20 <= hits <= 4000 * level + spread
