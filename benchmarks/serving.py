"""Requests per second and latency of the prediction API, beside what others serve of the same model, on one machine.

The same LightGBM model of 20 features, one worker each, one after the other, one record per request:

- ``clinical_assets``: features by SQL, validation, reasons, warnings, an answer on disk before it leaves.
- ``bare``: FastAPI, scikit-learn's pipeline and TreeSHAP values; no validation beyond types, no log.
- ``mlflow``: ``mlflow models serve``; no reasons, no log.

Run in a process of its own; the server and its clients share the machine, so figures of two runs compare only roughly:

    python benchmarks/serving.py [seconds per load] [clinical_assets,bare,mlflow]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROWS, FEATURES = 2_000, 20
CLIENTS = (1, 8, 32)
COHORT = "bench_ward"
ROOT = Path(__file__).resolve().parents[1]
NAMES = [f"x{number:02d}" for number in range(FEATURES)]


def made(rows: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic features (n, 20) and outcomes (n,)."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, FEATURES)).round(4)
    y = random.random(rows) < 1 / (1 + np.exp(1 - X[:, :4].sum(axis=1)))
    return X, y.astype(int)


def platform(folder: Path) -> None:
    """A cohort of that shape, trained, with a champion: registered, judged, signed and promoted as any other."""
    import csv

    import yaml

    sys.path.insert(0, str(ROOT))
    from assets_tests.worlds.descriptions import minimal
    from assets_tests.worlds.ward import released, trained

    X, y = made(ROWS, seed=1)
    columns: dict[str, Any] = {
        "patient_id": {"type": "string", "role": "identifier", "nullable": False, "unique": True, "description": "Id."},
        **{name: {"type": "number", "range": [-10, 10], "description": f"Value {name}."} for name in NAMES},
        "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died."},
    }
    table = {"description": "Patients.", "source": {"kind": "file", "path": f"{COHORT}/subjects.csv"}}
    search = {"trials": 1, "inner_folds": 2, "outer_folds": 2, "seed": 7}
    value = minimal(
        name=COHORT,
        tables={"subjects": {**table, "key": ["patient_id"], "columns": columns}},
        modelling={"candidates": ["lightgbm"], "search": search},
    )
    place = folder / "catalogue" / COHORT
    place.mkdir(parents=True)
    (folder / "catalogue" / f"{COHORT}.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    with (place / "subjects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", *NAMES, "died"])
        for number, (row, outcome) in enumerate(zip(X, y, strict=True)):
            writer.writerow([f"B{number}", *row, "yes" if outcome else "no"])
    # The worlds speak of one cohort; this one takes its place.
    trained.COHORT = released.COHORT = COHORT
    ready = released.releasable(trained.train_again(trained.settings_of(folder)))
    by = released.administrator(ready.records)
    released.add_person(
        ready.records,
        login="bob",
        printed_name="Bob Brook",
        roles=["reviewer"],
        password=released.secret("bob"),
        actor=released.ROOT,
        by=by,
    )
    ready.approve()
    ready.promote()


BARE = """
import sys, joblib, numpy as np, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
pipeline = joblib.load(sys.argv[1]); names = sys.argv[3].split(",")
booster = pipeline[-1].booster_
class Record(BaseModel):
    __annotations__ = {name: float for name in names}
class Body(BaseModel):
    records: list[Record]
app = FastAPI()
@app.post("/predict")
def predict(body: Body):
    X = np.array([[getattr(each, name) for name in names] for each in body.records])
    shares = booster.predict(pipeline[:-1].transform(X), pred_contrib=True)
    return {"risk": pipeline.predict_proba(X)[:, 1].tolist(), "shares": shares.tolist()}
@app.get("/health")
def health():
    return {}
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


def fitted(folder: Path) -> Any:
    """The peers' pipeline."""
    import joblib
    import lightgbm
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    X, y = made(ROWS, seed=1)
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=15, n_jobs=1, verbose=-1)
    pipeline = make_pipeline(SimpleImputer(strategy="median"), model).fit(X, y)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    return pipeline


@contextlib.contextmanager
def server(kind: str, folder: Path) -> Iterator[tuple[str, Any]]:
    """A server of one kind that answers, and how it is asked: address, and a body for a number."""
    port = free_port()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "CLINICAL_ASSETS_DATA": str(folder / "data"),
        "CLINICAL_ASSETS_CATALOGUE": str(folder / "catalogue"),
        "PYTHONWARNINGS": "ignore",
    }
    X, _ = made(1_000, seed=2)
    rows = [dict(zip(NAMES, map(float, row), strict=True)) for row in X]
    if kind == "clinical_assets":
        code = "from clinical_assets.cli.main import main; main()"
        command = [sys.executable, "-c", code, "serve", "--port", str(port)]
        address, health = f"/v1/cohorts/{COHORT}/predict", "/ready"

        def body(number: int) -> bytes:
            return json.dumps({"records": [{"patient_id": f"N{number}", **rows[number % 1000]}]}).encode()
    elif kind == "bare":
        command = [sys.executable, "-c", BARE, str(folder / "pipeline.joblib"), str(port), ",".join(NAMES)]
        address, health = "/predict", "/health"

        def body(number: int) -> bytes:
            return json.dumps({"records": [rows[number % 1000]]}).encode()
    else:
        mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model")]
        command = [*mlflow, "--env-manager", "local", "-p", str(port), "-w", "1"]
        address, health = "/invocations", "/health"

        def body(number: int) -> bytes:
            return json.dumps({"dataframe_records": [rows[number % 1000]]}).encode()

    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}{health}")
        yield f"http://127.0.0.1:{port}{address}", body
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    import httpx

    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(address)


async def load(address: str, body: Any, *, clients: int, seconds: float) -> tuple[int, list[float]]:
    """Answers within some seconds, and how long each took; an answer that is none ends the benchmark."""
    import httpx

    took: list[float] = []
    number = 0
    ends = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:

        async def client() -> None:
            nonlocal number
            while (began := time.perf_counter()) < ends:
                number += 1
                content = body(number)
                response = await http.post(address, content=content, headers={"content-type": "application/json"})
                if response.status_code != 200:
                    raise RuntimeError(response.text[:500])
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(client() for _ in range(clients)))
    return len(took), took


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    kinds = sys.argv[2].split(",") if len(sys.argv) > 2 else ["clinical_assets", "bare", "mlflow"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = fitted(folder)
        if "clinical_assets" in kinds:
            platform(folder)
        if "mlflow" in kinds:
            import mlflow.sklearn

            mlflow.sklearn.save_model(
                pipeline, folder / "model", pip_requirements=[], serialization_format="cloudpickle"
            )
        print(f"{'':16} {'clients':>7} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8}")
        for kind in kinds:
            with server(kind, folder) as (address, body):
                asyncio.run(load(address, body, clients=4, seconds=min(2.0, seconds)))
                for clients in CLIENTS:
                    answers, took = asyncio.run(load(address, body, clients=clients, seconds=seconds))
                    p50, p99 = 1000 * np.quantile(took, [0.5, 0.99])
                    print(f"{kind:16} {clients:7d} {answers / seconds:8.0f} {p50:8.1f} {p99:8.1f}", flush=True)


if __name__ == "__main__":
    main()
