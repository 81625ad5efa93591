import numpy as np
import pytest
from scipy.stats import ks_2samp

from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty import resampling
from clinical_assets.statistics.uncertainty.resampling import resample_weights, resampled_cell_totals


def drawn(n: int, **options: object) -> np.ndarray:
    return np.concatenate(list(resample_weights(n, **options)))  # type: ignore[arg-type]


def test_a_resample_draws_as_many_records_as_there_are() -> None:
    counts = drawn(200, n_resamples=50)
    assert counts.shape == (50, 200)
    assert (counts.sum(axis=1) == 200).all()
    assert abs((counts == 0).mean() - np.exp(-1)) < 0.02


def test_the_same_seed_gives_the_same_resamples_and_another_seed_others() -> None:
    np.testing.assert_array_equal(drawn(50, seed=4), drawn(50, seed=4))
    assert (drawn(50, seed=4) != drawn(50, seed=5)).any()


def test_strata_keep_their_sizes() -> None:
    strata = np.random.default_rng(0).integers(0, 3, 120)
    counts = drawn(120, n_resamples=30, strata=strata)
    for stratum in range(3):
        assert (counts[:, strata == stratum].sum(axis=1) == (strata == stratum).sum()).all()


def test_groups_come_whole_or_not_at_all_with_the_weights_of_their_records() -> None:
    groups = np.random.default_rng(0).integers(0, 15, 90)
    weights = np.random.default_rng(1).random(90) + 0.5
    copies = drawn(90, n_resamples=40, groups=groups, weights=weights) / weights
    for group in np.unique(groups):
        members = copies[:, groups == group]
        np.testing.assert_allclose(members, np.repeat(members[:, :1], members.shape[1], axis=1))
    per_group = copies[:, [int(np.argmax(groups == g)) for g in np.unique(groups)]]
    np.testing.assert_allclose(per_group.sum(axis=1), np.unique(groups).size)


def test_groups_within_strata_keep_the_number_of_groups_per_stratum() -> None:
    groups = np.arange(60) // 3
    strata = (groups >= 8).astype(int)
    counts = drawn(60, n_resamples=20, groups=groups, strata=strata)
    assert (counts[:, strata == 0].sum(axis=1) == 24).all()


def test_a_group_that_spans_strata_is_refused() -> None:
    with pytest.raises(InvalidArray, match="spans several strata"):
        drawn(4, groups=[0, 0, 1, 1], strata=[0, 1, 0, 0])


def test_frequency_weights_draw_as_from_the_repeated_rows() -> None:
    weights = np.array([3.0, 0.0, 1.0, 4.0])
    counts = drawn(4, n_resamples=4000, weights=weights)
    assert (counts.sum(axis=1) == 8).all()
    repeated = drawn(8, n_resamples=4000, seed=1)
    as_rows = np.stack([repeated[:, :3].sum(axis=1), repeated[:, 3], repeated[:, 4:].sum(axis=1)], axis=1)
    np.testing.assert_allclose(counts[:, [0, 2, 3]].mean(axis=0), as_rows.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(counts[:, [0, 2, 3]].var(axis=0), as_rows.var(axis=0), rtol=0.15)


def test_chunks_stay_within_the_bound_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "MAX_CHUNK_ELEMENTS", 1000)
    shapes = [chunk.shape for chunk in resample_weights(300, n_resamples=10)]
    assert shapes == [(3, 300), (3, 300), (3, 300), (1, 300)]


@pytest.mark.parametrize("grouped", [False, True])
def test_cell_totals_are_distributed_as_those_of_resampled_rows(grouped: bool) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 4, 150)
    groups = np.arange(150) // 5 if grouped else None
    fast = resampled_cell_totals(cells, 5, n_resamples=3000, groups=groups, seed=1)
    rows = drawn(150, n_resamples=3000, groups=groups, seed=2)
    slow = rows @ np.eye(5)[cells]
    assert (fast.sum(axis=1) == 150).all()
    assert (fast[:, 4] == 0).all()
    np.testing.assert_allclose(fast.mean(axis=0), slow.mean(axis=0), atol=0.6)
    np.testing.assert_allclose(np.cov(fast[:, :4].T), np.cov(slow[:, :4].T), atol=4)
    assert ks_2samp(fast[:, 0], slow[:, 0]).pvalue > 0.001


def test_no_resamples_at_all_are_refused() -> None:
    with pytest.raises(InvalidArray, match="n_resamples"):
        drawn(10, n_resamples=0)
