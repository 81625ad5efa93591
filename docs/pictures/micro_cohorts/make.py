"""Makes the pictures of docs/micro_cohorts.md, and prints the numbers its text quotes.

Run from the repository's root: ``python docs/pictures/micro_cohorts/make.py`` (about five minutes, synthetic data).
With ``--qusage FOLDER --org-db FILE --go-db FILE`` (origins: `clinical_assets.pathways.expression.connectors`)
it also makes the pictures of the influenza cohorts.
"""

# ruff: noqa: T201 (a script for a terminal)
from __future__ import annotations

import argparse
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from clinical_assets.pathways.expression.connectors import go_biological_process, influenza_challenge, influenza_vaccine
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets, measured_gene_sets
from clinical_assets.pathways.expression.pairing import PairedExpression, pair_samples
from clinical_assets.pathways.expression.synthetic import CASE, synthetic_paired_cohort
from clinical_assets.pathways.results.figures import optimism_picture, pathway_heat_map, precision_recall_panel
from clinical_assets.pathways.results.subject_page import subject_page
from clinical_assets.pathways.scores.bidirectional import BidirectionalScoring
from clinical_assets.pathways.scores.correlation import typical_correlation
from clinical_assets.pathways.scores.scores import PathwayScores, SignedRankScoring, score_subjects
from clinical_assets.pathways.study.ablation import ablation
from clinical_assets.pathways.study.designs import FOLD_CHANGE, PATHWAYS, StudyData, study_data
from clinical_assets.pathways.study.study import Budget, micro_cohort_study
from clinical_assets.pathways.study.study_results import StudyResult
from clinical_assets.statistics.uncertainty.intervals import Estimate

HERE = Path(__file__).resolve().parent


def said(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not estimable"
    return f"{estimate.value:.2f} [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"


def level_of_the_test() -> None:
    """False positives of the plain and the corrected test when nothing is wrong, against correlation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rhos = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
    figure = Figure(figsize=(5.6, 3.4), dpi=110)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for size, colour in ((20, "#0072B2"), (50, "#D55E00"), (150, "#009E73")):
        plain, corrected = [], []
        for rho in rhos:
            made = synthetic_paired_cohort(
                n_subjects=200,
                n_genes=20 * size,
                n_sets=20,
                n_planted=0,
                set_size=(size, size),
                correlation=rho,
                layout="disjoint",
                seed=size,
            )
            plain.append(float((score_subjects(made.paired, made.sets).score != 0).mean()))
            method = SignedRankScoring(correlation=rho)
            corrected.append(float((score_subjects(made.paired, made.sets, method=method).score != 0).mean()))
        print(f"sets of {size}: plain {np.round(plain, 3)}, corrected {np.round(corrected, 3)} at rho {rhos}")
        axis.plot(rhos, plain, "o-", color=colour, label=f"plain, {size} genes", markersize=4)
        axis.plot(rhos, corrected, "s--", color=colour, label=f"corrected, {size} genes", markersize=4)
    axis.axhline(0.05, color="#777777", linewidth=0.8, linestyle=":")
    axis.set_xlabel("correlation between the genes of a set", fontsize=8)
    axis.set_ylabel("share of sets with p < .05", fontsize=8)
    axis.set_title("SYNTHETIC data, nothing planted: 4,000 tests a point", fontsize=9)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    save("level.png", buffer.getvalue())


def recovery() -> None:
    """Power and false discovery rate where the truth is known."""
    for rho in (0.0, 0.05):
        for effect in (0.2, 0.4, 0.6, 0.8):
            made = synthetic_paired_cohort(
                n_subjects=200,
                n_genes=4000,
                n_planted=8,
                effect=effect,
                penetrance=1.0,
                background=0.0,
                correlation=rho,
                layout="disjoint",
                seed=11,
            )
            planted = made.truth != 0
            hit = planted.any(axis=1)
            told = []
            for decide_on, correlation in (("p", None), ("fdr", None), ("fdr", rho or None)):
                method = SignedRankScoring(correlation=correlation)
                score = score_subjects(made.paired, made.sets, method=method, decide_on=decide_on).score
                power = float((score[planted] == made.truth[planted]).mean())
                false = ((score != 0) & (score != made.truth))[hit].sum(axis=1)
                share = float((false / np.maximum(1, (score != 0)[hit].sum(axis=1))).mean())
                corrected = "" if correlation is None else ", corrected"
                told.append(f"{decide_on}{corrected}: power {power:.2f}, FDR {share:.2f}")
            print(f"recovery, correlation {rho}, effect {effect}: {'; '.join(told)}")


def both_scores() -> None:
    """Power and false calls of both scores, with genes that move together and genes that move apart."""
    made = synthetic_paired_cohort(n_subjects=200, n_genes=4000, n_planted=0, layout="disjoint", seed=11)
    case = np.array([label == CASE for label in made.paired.labels])
    for apart in (False, True):
        for effect in (0.4, 0.8, 1.2):
            affected = made.paired.affected.copy()
            for genes in made.sets.positions[:8]:
                signs = np.where(np.arange(genes.size) % 2, -1.0, 1.0) if apart else np.ones(genes.size)
                affected[np.ix_(case, genes)] += effect * signs
            paired = replace(made.paired, affected=affected)
            told = []
            for method in (SignedRankScoring(), BidirectionalScoring()):
                called = score_subjects(paired, made.sets, method=method).score[case] != 0
                told.append(f"{method.name}: power {called[:, :8].mean():.2f}, others {called[:, 8:].mean():.3f}")
            print(f"genes {'apart' if apart else 'together'}, effect {effect}: {'; '.join(told)}")


def save(name: str, content: bytes) -> None:
    (HERE / name).write_bytes(content)
    print(f"{name}: {len(content) / 1024:.0f} kB")


def report(
    result: StudyResult, data: StudyData, designs: tuple[str, ...], budget: Budget, prefix: str, n_removed: int
) -> None:
    print(result.headline())
    for row in result.rows:
        told, true = row.study.cross_validated, row.honest.performance
        print(
            f"| {row.design} | {row.family} | {said(told.precision)} | {said(told.recall)} | {said(true.precision)} | "
            f"{said(true.recall)} | {told.balanced_accuracy.value:.2f} | {said(true.balanced_accuracy)} | "
            f"{row.optimism:+.2f} |"
        )
    forest = next(f for f in budget.families if f.name == "random forest")
    removed = [
        ablation(data, design=d, family=forest, n_removed=n_removed, n_random=39, budget=replace(budget, repeats=1))
        for d in designs
    ]
    for a in removed:
        before, after = a.study.before.cross_validated, a.study.cross_validated
        print(
            f"{a.design}: the study's ablation {said(before.precision)}/{said(before.recall)} -> "
            f"{said(after.precision)}/{said(after.recall)}; {a.conclusion}: {a.verdict}"
        )
    save(f"{prefix}panel.png", precision_recall_panel(result, family="random forest", ablations=removed))
    if result.synthetic:
        save("optimism.png", optimism_picture(result))


def synthetic() -> None:
    level_of_the_test()
    recovery()
    both_scores()
    made = synthetic_paired_cohort(seed=1)
    scores = score_subjects(made.paired, made.sets)
    save("heat_map.png", pathway_heat_map(scores, made.sets, made.paired.labels, n_sets=20))
    data = study_data(made.paired, scores, positive=CASE)
    budget = Budget()
    report(micro_cohort_study(data, budget=budget), data, (FOLD_CHANGE, PATHWAYS), budget, "", 20)
    case = made.paired.subjects[made.paired.labels.index(CASE)]
    page = subject_page(made.paired, scores, made.sets, case, n_pathways=12, n_genes=6)
    (HERE / "subject_page.html").write_text(page, encoding="utf-8")
    print("subject_page.html written: photograph it with a browser, then delete it")


def influenza(qusage: Path, org_db: Path, go_db: Path) -> None:
    go = go_biological_process(org_db, go_db=go_db)
    cohorts = (
        ("challenge", influenza_challenge(qusage / "fluExample.RData"), "0 h", "77 h", "symptomatic"),
        ("vaccine", influenza_vaccine(qusage / "fluVaccine.RData"), "d0", "d7", "high"),
    )
    for name, (matrix, sheet), control, affected, positive in cohorts:
        paired = pair_samples(matrix, sheet, control=control, affected=affected)
        sets = measured_gene_sets(go, paired.genes)
        scores = score_subjects(paired, sets)
        print(f"== {name}: {' '.join(paired.statements)} {sets.statement()}")
        describe(paired, sets, scores, positive)
        data = study_data(paired, scores, positive=positive)
        budget = Budget(primary=(PATHWAYS, "logistic regression"))
        designs = tuple(design.name for design in data.designs)
        report(micro_cohort_study(data, budget=budget), data, designs, budget, f"{name}_", 20)


def describe(paired: PairedExpression, sets: MeasuredGeneSets, scores: PathwayScores, positive: str) -> None:
    """The sets that separate the labels best, and what correlation does to the plain test. Descriptive only."""
    case = np.array([label == positive for label in paired.labels])
    gap = scores.statistic[case].mean(axis=0) - scores.statistic[~case].mean(axis=0)
    top = np.argsort(-np.abs(gap))[:24]
    for s in top[:5]:
        up, other = int((scores.score[case, s] > 0).sum()), int((scores.score[~case, s] > 0).sum())
        print(f"{sets.names[s]}: up in {up} of {case.sum()} {positive}, {other} of {(~case).sum()} others")
    rho = typical_correlation(paired.differences, sets, groups=[str(x) for x in paired.labels])
    corrected = score_subjects(paired, sets, method=SignedRankScoring(correlation=rho))
    print(
        f"median correlation {rho:.3f}; sets called per subject: plain median "
        f"{np.median((scores.score != 0).sum(axis=1)):.0f}, corrected "
        f"{np.median((corrected.score != 0).sum(axis=1)):.0f} of {len(sets.names)}"
    )
    if positive == "symptomatic":
        picture = pathway_heat_map(scores, sets, paired.labels, names=[sets.names[s] for s in top])
        save("challenge_heat_map.png", picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qusage", type=Path)
    parser.add_argument("--org-db", type=Path)
    parser.add_argument("--go-db", type=Path)
    options = parser.parse_args()
    if options.qusage is None:
        synthetic()
    else:
        influenza(options.qusage, options.org_db, options.go_db)


if __name__ == "__main__":
    main()
