"""From raw records to a model card: 1,000 synthetic rows, 20 features, three candidates, the default search.

The cohort is run as a worker of ``clinical-assets materialize`` runs it, in this process and warm: a small run was
made before. Prints CPU seconds, the share that is not model fitting (the nested search and the final model's), and
seconds by stage and step. CPU seconds, because wall time on a shared machine says little.

Usage: python benchmarks/raw_to_card.py [--rows 1000] [--features 20] [--repeats 1]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

COHORT = "benchmark_cohort"
FITTING = ("nested", "fit_final")


def describe(rows: int, features: int) -> dict[str, Any]:
    """A description of the synthetic table with every default left alone."""
    kinds = {"number": "number", "count": "integer", "flag": "boolean", "grade": "string"}
    columns: dict[str, Any] = {
        "record_id": {"type": "integer", "role": "identifier", "nullable": False, "description": "Record."},
        "site": {"type": "string", "role": "protected", "description": "Site."},
        "outcome": {"type": "integer", "role": "target", "nullable": False, "description": "Outcome."},
    }
    width = len(str(features - 1))
    for j in range(features):
        kind = list(kinds)[j % 4]
        grades = {"categories": ["none", "mild", "severe"]} if kind == "grade" else {}
        columns[f"x{j:0{width}d}_{kind}"] = {"type": kinds[kind], "description": f"Feature {j}.", **grades}
    return {
        "name": COHORT,
        "title": "Synthetic cohort of the benchmark",
        "disease": {"name": "None", "icd10": ["Z00"]},
        "intended_use": "Measure speed.",
        "not_for": "Patients.",
        "owner": {"team": "Benchmarks"},
        "data": {"kind": "synthetic", "source": "tabular_risk", "licence": "CC0", "limits": ["Made up."]},
        "prediction": {"moment": "Now."},
        "subject": "record_id",
        "subject_table": "records",
        "tables": {
            "records": {
                "description": "One row per record.",
                "source": {
                    "kind": "synthetic",
                    "generator": "tabular_risk",
                    "seed": 11,
                    "parameters": {"table": "records", "rows": rows, "features": features},
                },
                "key": ["record_id"],
                "columns": columns,
            }
        },
        "features": "declared_columns",
        "outcome": "target_class",
        "vars": {"target_column": "outcome", "positive_values": [1]},
        "target": {"description": "Outcome.", "classes": ["no", "yes"]},
        "decisions": {
            "costs": {"false_positive": 1, "false_negative": 4, "rationale": "Benchmark."},
            "tiers": [{"name": "Low", "lower": 0, "action": "-"}, {"name": "High", "lower": 0.5, "action": "-"}],
        },
    }


class Clock:
    """CPU seconds of this process inside some functions, all threads together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, module: Any, name: str) -> None:
        """Count a function of a module under its name."""
        function = getattr(module, name)

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            begun = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - begun

        setattr(module, name, watched)


def main() -> None:
    """Run it cold for a small cohort, then warm for the measured one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder) / "catalogue"
        catalogue.mkdir()
        path = catalogue / f"{COHORT}.yaml"
        os.environ["CLINICAL_ASSETS_CATALOGUE"] = str(catalogue)
        os.environ["CLINICAL_ASSETS_DATA"] = f"{folder}/data"
        os.environ.pop("DAGSTER_HOME", None)
        path.write_text(yaml.safe_dump(describe(300, 4), sort_keys=False))

        from clinical_assets.dagster_private import new_run_id
        from clinical_assets.launch.instance import open_instance
        from clinical_assets.launch.worker import collect_seldom, run_cohort
        from clinical_assets.modelling.evaluation import training

        clock = Clock()
        for name in FITTING:
            clock.watch(training, name)
        collect_seldom()
        assert run_cohort(COHORT, "train_cohort", new_run_id(), (), afresh=True).success
        path.write_text(yaml.safe_dump(describe(options.rows, options.features), sort_keys=False))
        found = []
        for _ in range(options.repeats):
            clock.seconds.clear()
            run_id = new_run_id()
            wall, cpu = time.perf_counter(), time.process_time()
            assert run_cohort(COHORT, "train_cohort", run_id, (), afresh=True).success
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found.append((cpu, sum(clock.seconds.values()), wall, run_id))
        cpu, fitting, wall, run_id = sorted(found)[len(found) // 2]
        with open_instance() as instance:
            steps = {
                step.step_key: (step.end_time or 0) - (step.start_time or 0)
                for step in instance.get_run_step_stats(run_id)
            }
            made = instance.get_latest_materialization_event(dg.AssetKey("candidate_models"))
        assert made is not None
        assert made.asset_materialization is not None
        stages = json.loads(made.asset_materialization.metadata["seconds by stage"].text)
    print(f"synthetic rows {options.rows:,} x {options.features}, three candidates, default search, two cores")
    print(f"raw_records to model_card: {cpu:.2f} s CPU, {wall:.1f} s wall (goal 25 s wall)")
    print(f"not model fitting: {cpu - fitting:.2f} s CPU, {(cpu - fitting) / cpu:.0%} (goal at most 20 %)")
    for name, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  training, {name:22s} {seconds:6.2f} s wall")
    for name, seconds in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"  step {name:44s} {seconds:6.2f} s wall")


if __name__ == "__main__":
    main()
