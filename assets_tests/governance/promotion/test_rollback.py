"""The champion before serves again, or none does; neither change can be undone by old signatures or edited files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from assets_tests.governance.promotion.champions import consistent_champion, last_champion
from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.ward.released import (
    Releasable,
    administrator,
    flip_a_byte,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.promotion.promotion import is_recorded, retire, rollback
from clinical_assets.governance.verification import verify_all
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import POINTER
from clinical_assets.modelling.tracking import registry
from clinical_assets.records import schema
from clinical_assets.records.ledger.ledger import Ledger


class TestRollback:
    def test_the_champion_before_serves_again_and_old_signatures_do_not_bring_the_other_back(
        self, second: Releasable
    ) -> None:
        first = last_champion(second)
        second.approve()
        promoted = second.promote()
        back = rollback(second.settings, COHORT, actor="root", reason="Alarms on the ward.")
        assert consistent_champion(second) == back
        assert (back.digest, back.previous, back.by) == (first.digest, first.previous, "root")
        (entry,) = Ledger(second.records).entries(action="rollback")
        assert (entry.reason, entry.facts["before"]) == ("Alarms on the ward.", promoted.digest)
        assert second.codes() == ["unsigned", "rolled_back"]
        second.approve("bob")
        again = second.promote()
        assert consistent_champion(second) == again
        assert (again.digest, again.previous) == (promoted.digest, (first.digest,))

    def test_without_champion_predecessor_or_reason_it_is_refused(self, made: Releasable) -> None:
        for reason, code in ((" ", "no_reason"), ("Why not.", "nothing_serves")):
            with pytest.raises(Refused) as refused:
                rollback(made.settings, COHORT, actor="root", reason=reason)
            assert refused.value.code == code
        made.approve()
        champion = made.promote()
        with pytest.raises(Refused) as refused:
            rollback(made.settings, COHORT, actor="root", reason="Alarms.")
        assert refused.value.code == "no_previous"
        assert consistent_champion(made) == champion

    def test_a_predecessor_that_was_written_into_the_pointer_by_hand_does_not_serve(self, made: Releasable) -> None:
        made.approve()
        champion = made.promote()
        pointer = made.settings.serving / COHORT / "champion.json"
        told = json.loads(pointer.read_text(encoding="utf-8"))
        pointer.write_text(json.dumps({**told, "previous": ["sha256:" + "5" * 64]}), encoding="utf-8")
        with pytest.raises(Refused) as refused:
            rollback(made.settings, COHORT, actor="root", reason="Alarms.")
        assert refused.value.code == "previous_unreleased"
        assert champion_pointer.current(made.settings, COHORT).digest == champion.digest  # type: ignore[union-attr]

    def test_a_damaged_predecessor_does_not_serve_and_comes_back_from_the_registry(self, second: Releasable) -> None:
        first = last_champion(second)
        second.approve()
        champion = second.promote()
        place = champion_pointer.warm_place(second.settings, COHORT, first.digest)
        flip_a_byte(place / "model.onnx")
        with pytest.raises(Refused) as refused:
            rollback(second.settings, COHORT, actor="root", reason="Alarms.")
        assert (refused.value.code, "model.onnx" in refused.value.message) == ("previous_damaged", True)
        assert consistent_champion(second) == champion
        shutil.rmtree(place)
        assert rollback(second.settings, COHORT, actor="root", reason="Alarms.").digest == first.digest
        assert consistent_champion(second).digest == first.digest

    def test_the_pointer_is_switched_and_recorded_before_mlflow_is_imported(self, second: Releasable) -> None:
        second.approve()
        second.promote()
        script = (
            "import sys\n"
            "from clinical_assets.governance.promotion import promotion, champion_switch as switching\n"
            "from clinical_assets.modelling.champion.champion_pointer import current\n"
            "from clinical_assets.foundation.settings import Settings\n"
            "settings = Settings.from_environment()\n"
            "def told(champion):\n"
            "    heavy = {'mlflow', 'dagster', 'pandas', 'sklearn'} & set(sys.modules)\n"
            "    print(sorted(heavy), promotion.is_recorded(settings, current(settings, champion.cohort)))\n"
            "switching._tell_registry = lambda settings, champion: True\n"
            f"promotion.rollback(settings, {COHORT!r}, actor='root', reason='Alarms.', on_recorded=told)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[] True"


class TestRetirement:
    def test_nothing_serves_afterwards_and_no_way_leads_back(self, second: Releasable) -> None:
        first = last_champion(second)
        by = administrator(second.records)
        retired = retire(second.settings, COHORT, actor="root", reason="Alarms on the ward.", by=by)
        assert champion_pointer.current(second.settings, COHORT) is None
        assert champion_pointer.last(second.settings, COHORT) == retired
        assert (retired.digest, retired.retired, retired.previous) == (first.digest, True, ())
        assert promotion.serving(second.settings, COHORT) is None
        assert registry.find_version(second.settings, COHORT, alias="champion") is None
        assert verify_all(second.settings).intact
        (entry,) = Ledger(second.records).entries(action="retirement")
        assert (entry.reason, entry.digest, entry.facts["by"]) == ("Alarms on the ward.", first.digest, "root")
        for again in (retire, rollback):
            with pytest.raises(Refused, match="was retired on"):
                again(second.settings, COHORT, actor="root", reason="Alarms.", by=by)
        second.approve()
        champion = second.promote()
        assert consistent_champion(second) == champion
        # A retired model is no way back.
        assert champion.previous == ()

    def test_signatures_from_before_do_not_bring_a_retired_model_back(self, signed: Releasable) -> None:
        signed.promote()
        retire(signed.settings, COHORT, actor="root", reason="Alarms.", by=administrator(signed.records))
        assert signed.codes() == ["unsigned", "rolled_back"]
        signed.approve("carol")
        champion = signed.promote()
        assert consistent_champion(signed) == champion

    def test_a_refused_rollback_of_the_first_champion_names_it(self, signed: Releasable) -> None:
        signed.promote()
        with pytest.raises(Refused) as refused:
            rollback(signed.settings, COHORT, actor="root", reason="Alarms.")
        assert f"clinical-assets retire {COHORT}" in str(refused.value)

    @pytest.mark.parametrize("change", [{"retired": None, "format": 1}, {"since": "2020-01-01T00:00:00+00:00"}])
    def test_a_retired_pointer_that_was_edited_is_refused_and_never_serves(
        self, signed: Releasable, change: dict[str, Any]
    ) -> None:
        signed.promote()
        retire(signed.settings, COHORT, actor="root", reason="Alarms.", by=administrator(signed.records))
        pointer = signed.settings.serving / COHORT / POINTER
        told = {**json.loads(pointer.read_text(encoding="utf-8")), **change}
        pointer.write_text(json.dumps({k: v for k, v in told.items() if v is not None}), encoding="utf-8")
        with pytest.raises(champion_pointer.ChampionError, match="records do not know"):
            promotion.serving(signed.settings, COHORT)
        assert not verify_all(signed.settings).intact

    def test_a_retirement_without_a_signature_is_none(self, signed: Releasable) -> None:
        champion = signed.promote()
        unsigned = champion.model_copy(update={"promotion": "by-hand", "retired": True})
        with signed.records.write() as connection:
            facts = {"promotion": unsigned.promotion, "since": unsigned.since, "before": unsigned.digest}
            entry = Ledger(signed.records).append(
                "retirement", actor=unsigned.by, cohort=COHORT, digest=unsigned.digest, reason="x", facts=facts,
                connection=connection,
            )  # fmt: skip
            connection.execute(
                schema.promotions.insert().values(
                    id=unsigned.promotion, cohort=COHORT, kind="retirement", bundle_digest=unsigned.digest,
                    previous_digest=unsigned.digest, at=unsigned.since, actor=unsigned.by, reason="x",
                    ledger_seq=entry.seq,
                )
            )  # fmt: skip
        assert not is_recorded(signed.settings, unsigned)
