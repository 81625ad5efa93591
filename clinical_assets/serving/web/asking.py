"""The one way from a body to an answer, whoever asks: a program by JSON, or a person by a page.

What belongs here: reading, answering, counting. What does not: who asks, and in which shape it is told.
"""

from __future__ import annotations

import time
from typing import Literal

from clinical_assets.serving.access.callers import Caller
from clinical_assets.serving.answers import PredictionsAnswer, predictions_answer
from clinical_assets.serving.predictions import PredictionRequest
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.requests.reading import read_records
from clinical_assets.serving.service import PredictionService


async def answered(
    service: PredictionService,
    caller: Caller,
    cohort: str,
    body: bytes,
    *,
    request: str,
    asked: Literal["predict", "explain"],
    received: float,
) -> PredictionsAnswer:
    """What a caller is told of the records in a body; when this returns it is on disk.

    Parameters
    ----------
    service : PredictionService
        Answers.
    caller : Caller
        Somebody who may ask about the cohort.
    cohort : str
        Name of the cohort.
    body : bytes
        JSON as it came.
    request : str
        Id of the request.
    asked : "predict" or "explain"
        Whether the largest reasons are told, or every one.
    received : float
        ``time.perf_counter`` when the request came.

    Raises
    ------
    RequestRefused, MalformedRequest
        The body, with everything that is wrong with it.
    UnknownCohort, NotServed, LogUnavailable, LogDamaged
        There is no answer.
    """
    found = service.cohort(cohort)
    read = read_records(found.model, body)
    if not read.records:
        raise RequestRefused(read.findings)
    asking = PredictionRequest(request, caller.key, asked, read.records, received, read.findings)
    logged = await found.predictions.answer(asking)
    answer = predictions_answer(logged, request=request, rights=caller.rights, explain=asked == "explain")
    service.statistics.predicted(cohort, logged, seconds=time.perf_counter() - received)
    return answer
