"""Jobs: named selections of assets that a person, a schedule or a sensor starts for one cohort."""

from __future__ import annotations

import dagster as dg

ingest_cohort = dg.define_asset_job(
    name="ingest_cohort",
    selection=dg.AssetSelection.groups("cohorts", "features"),
    description="From the source to feature-ready tables, for one cohort.",
)

train_cohort = dg.define_asset_job(
    name="train_cohort",
    selection=dg.AssetSelection.groups("cohorts", "features", "models"),
    description="From the source to a risk model with its card, for one cohort.",
)

study_micro_cohort = dg.define_asset_job(
    name="study_micro_cohort",
    selection=dg.AssetSelection.groups("micro_cohorts"),
    description="From paired samples to pathway scores, pages of subjects, study and ablation, for one micro-cohort.",
)

develop_cohort = dg.define_asset_job(
    name="develop_cohort",
    selection=dg.AssetSelection.groups("cohorts", "features", "models")
    | dg.AssetSelection.assets("gate_verdicts", "release_dossier"),
    description="From the source through a risk model and five gates to the dossier that people sign, for one cohort.",
)

prepare_release = dg.define_asset_job(
    name="prepare_release",
    selection=dg.AssetSelection.assets("gate_verdicts", "release_dossier"),
    description="Five gates over the newest model, and the dossier that people sign, for one cohort.",
)

promote_champion = dg.define_asset_job(
    name="promote_champion",
    selection=dg.AssetSelection.assets("champion_model"),
    description="Make the signed model the cohort's champion, or list what is missing.",
)

monitor_cohort = dg.define_asset_job(
    name="monitor_cohort",
    selection=dg.AssetSelection.groups("monitoring"),
    description="New records and outcomes from the inbox: scores, reports, and what to do about the model.",
)

recalibrate_model = dg.define_asset_job(
    name="recalibrate_model",
    selection=dg.AssetSelection.assets("recalibrated_model"),
    description="The smallest update of the champion, as a new challenger, for one cohort.",
)

report_experiment = dg.define_asset_job(
    name="report_experiment",
    selection=dg.AssetSelection.groups("experiments"),
    description="What is known of the cohort's newest experiment, with its page.",
)

#: Group of what is of the installation and of no cohort.
EVIDENCE = "evidence"
verify_evidence = dg.define_asset_job(
    name="verify_evidence",
    selection=dg.AssetSelection.groups(EVIDENCE),
    description="Every kind of evidence of the installation held against the ledger; what is wrong is red and told of.",
)

#: Jobs of one cohort each.
JOBS = [
    ingest_cohort,
    train_cohort,
    develop_cohort,
    prepare_release,
    promote_champion,
    monitor_cohort,
    recalibrate_model,
    study_micro_cohort,
    report_experiment,
]
