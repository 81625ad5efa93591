"""A candidate is registered once, in its own module, and everything that names candidates follows."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from typer.testing import CliRunner

from clinical_assets.cli.main import app
from clinical_assets.cohorts.loading import load_spec
from clinical_assets.cohorts.registry import SHIPPED
from clinical_assets.defs.models import assets
from clinical_assets.foundation.code_digest import CodeTree
from clinical_assets.foundation.errors import SpecError
from clinical_assets.modelling.search import kinds
from clinical_assets.modelling.search.candidates import COSTLIEST, SIMPLICITY, raw_risk
from clinical_assets.modelling.search.kinds import KINDS, refuse_unknown


def test_every_module_is_a_candidate_with_ranks_of_its_own() -> None:
    modules = [path for path in Path(kinds.__file__).parent.glob("*.py") if path.stem != "__init__"]
    assert {path.stem for path in modules} == set(KINDS)
    for rank in ("simplicity", "cost"):
        taken = Counter(getattr(kind, rank) for kind in KINDS.values())
        doubled = {name: getattr(kind, rank) for name, kind in KINDS.items() if taken[getattr(kind, rank)] > 1}
        assert not doubled, f"one {rank} for several candidates: {doubled}; taken are {sorted(taken)}"
    assert set(SIMPLICITY) == set(COSTLIEST) == set(KINDS)
    assert SIMPLICITY[0] == COSTLIEST[-1] == "logistic_ridge"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_no_candidate_claims_more_certainty_than_its_floor(name: str) -> None:
    floor = KINDS[name].floor
    assert 0 < floor < 0.01
    claimed = np.array([[1.0, 0.0], [1 - floor / 2, floor / 2], [0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_array_equal(raw_risk(claimed, floor=KINDS[name].floor), [floor, floor, 0.5, 1 - floor])


def test_naive_bayes_says_never_and_always_on_clear_cases_and_is_held_at_one_in_ten_thousand() -> None:
    x = np.concatenate([np.full(50, -1e6), np.full(50, 1e6)]) + np.arange(100)
    model = GaussianNB(**KINDS["naive_bayes"].start(0)).fit(x[:, None], x > 0)
    said = model.predict_proba(x[:, None])
    risk = raw_risk(said, floor=KINDS["naive_bayes"].floor)
    np.testing.assert_allclose((risk.min(), risk.max()), (1e-4, 1 - 1e-4), rtol=0, atol=1e-12)


def _misspelt(folder: Path) -> Path:
    path = folder / "heart_disease.yaml"
    shutil.copy(SHIPPED / path.name, path)
    text = path.read_text(encoding="utf-8")
    assert "xgboost" in text
    path.write_text(text.replace("xgboost", "xgbost", 1), encoding="utf-8")
    return path


def test_a_misspelt_candidate_is_refused_with_its_line_and_the_near_name(tmp_path: Path) -> None:
    path = _misspelt(tmp_path)
    line = next(n for n, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1) if "xgbost" in row)
    with pytest.raises(SpecError, match=rf"heart_disease\.yaml:{line}: .*there is no candidate 'xgbost'") as caught:
        refuse_unknown(load_spec(path), path)
    assert "Did you mean `xgboost`?" in str(caught.value)


def test_the_check_of_a_description_refuses_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["cohorts", "check", str(_misspelt(tmp_path))])
    assert done.exit_code == 1
    assert "Did you mean `xgboost`?" in " ".join(done.output.split())


def test_the_code_version_of_a_model_counts_every_candidate() -> None:
    tree = CodeTree(Path(kinds.__file__).parents[3])
    reached = tree.reached(assets.__name__)
    assert {f"{kinds.__name__}.{name}" for name in KINDS} <= set(reached)
