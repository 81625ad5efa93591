"""An erased subject is gone from the prediction log; the chain verifies, and the server that writes it goes on."""

from __future__ import annotations

import asyncio

from assets_tests.serving.test_predictions import asked
from assets_tests.worlds.ward.api_server import record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.privacy.erasure.erasure import erase
from clinical_assets.records.prediction_log.lines import erased
from clinical_assets.records.prediction_log.segments import read_log, segments
from clinical_assets.records.prediction_log.verification import LOG_LINES, verify_log
from clinical_assets.serving.service import PredictionService
from clinical_assets.workspace import Workspace


def test_erasing_reaches_the_log_while_it_is_written(
    service: PredictionService, workspace: Workspace, released: Releasable
) -> None:
    predictions = service.cohort(COHORT).predictions

    async def answered(*names: str) -> None:
        for name in names:
            await predictions.answer(asked([record(patient_id=name, marker_b=0.123456)]))

    asyncio.run(answered("P1", "P2", "P1"))
    (path,) = segments(predictions.log.folder)
    gone = predictions.names.subject("P1")
    assert path.read_bytes().count(gone.encode()) == 2
    done = erase(workspace.cohort(COHORT), "P1", reason="Request 7.")
    assert done.files[LOG_LINES] == 2
    assert gone.encode() not in path.read_bytes()
    asyncio.run(answered("P3"))
    lines = list(read_log(released.settings, COHORT))
    assert [line.content is None for line in lines] == [True, False, True, False]
    report = verify_log(released.settings, COHORT, workspace.ledger)
    assert (report.problem, report.lines, report.erased) == (None, 4, 2)

    # A content that somebody blanked by hand is no erasure.
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:-1], erased(whole[-1], where="here")]))
    assert "3 lines are without content" in str(verify_log(released.settings, COHORT, workspace.ledger).problem)
