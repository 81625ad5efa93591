"""A stand-in for published case reports of rare diseases: signs, notes, papers, and a graded severity.

Diseases, papers, cases and frequencies are made up; codes and names of the signs are those of the Human Phenotype
Ontology (release 2025-01-16, http://www.human-phenotype-ontology.org). The shares of the five grades are those of the
1,069 people with a graded intellectual disability in phenopacket-store.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.sources.synthetic.parts import check_count, check_share, labels

GRADES = ("borderline", "mild", "moderate", "severe", "profound")
#: People of each grade in phenopacket-store, whose shares the generator keeps.
PUBLISHED_COUNTS = (27, 289, 254, 418, 81)


@dataclass(frozen=True)
class Sign:
    """A sign: HPO code and name, its effect on the latent severity, how frequent it is, and words for it in notes.

    The last of the words is one that nobody would guess from the name.
    """

    code: str
    name: str
    effect: float
    share: float
    words: tuple[str, ...]


SIGNS = (
    Sign("HP:0001250", "Seizure", 0.7, 0.35, ("seizures", "epilepsy", "convulsions", "fits")),
    Sign("HP:0001252", "Hypotonia", 0.4, 0.45, ("hypotonia", "low muscle tone", "floppy as an infant")),
    Sign("HP:0000252", "Microcephaly", 0.6, 0.25, ("microcephaly", "small head", "head circumference below -3 SD")),
    Sign("HP:0000256", "Macrocephaly", 0.0, 0.1, ("macrocephaly", "large head", "head circumference above +3 SD")),
    Sign("HP:0000750", "Delayed speech and language development", 0.2, 0.5, ("speech delay", "late to talk")),
    Sign("HP:0001344", "Absent speech", 1.4, 0.2, ("absent speech", "nonverbal", "never spoke a word")),
    Sign("HP:0000717", "Autism", 0.1, 0.25, ("autism", "autistic", "ASD")),
    Sign("HP:0007018", "Attention deficit hyperactivity disorder", -0.5, 0.15, ("ADHD", "cannot sit still")),
    Sign("HP:0001251", "Ataxia", 0.2, 0.2, ("ataxia", "ataxic gait", "unsteady on her feet")),
    Sign("HP:0001257", "Spasticity", 0.6, 0.2, ("spasticity", "spastic", "stiff legs")),
    Sign("HP:0001332", "Dystonia", 0.4, 0.1, ("dystonia", "dystonic", "twisting postures")),
    Sign("HP:0002376", "Developmental regression", 0.9, 0.12, ("regression", "lost what was learned")),
    Sign("HP:0002059", "Cerebral atrophy", 0.6, 0.15, ("cerebral atrophy", "brain atrophy", "widened sulci")),
    Sign("HP:0001273", "Abnormal corpus callosum morphology", 0.3, 0.2, ("callosal agenesis", "midline cleft on MRI")),
    Sign("HP:0000486", "Strabismus", 0.0, 0.25, ("strabismus", "squint", "eyes not aligned")),
    Sign("HP:0000365", "Hearing impairment", 0.1, 0.15, ("hearing loss", "hearing impairment", "wears hearing aids")),
    Sign("HP:0004322", "Short stature", 0.1, 0.25, ("short stature", "small for her age")),
    Sign("HP:0001508", "Failure to thrive", 0.3, 0.2, ("failure to thrive", "poor weight gain", "did not grow well")),
    Sign("HP:0011968", "Feeding difficulties", 0.4, 0.35, ("feeding difficulties", "needed a tube")),
    Sign("HP:0002650", "Scoliosis", 0.2, 0.2, ("scoliosis", "spinal curvature", "crooked back")),
    Sign("HP:0001627", "Abnormal heart morphology", 0.0, 0.15, ("heart defect", "heart disease", "open ductus")),
    Sign("HP:0000316", "Hypertelorism", 0.0, 0.2, ("hypertelorism", "eyes far apart")),
    Sign("HP:0000347", "Micrognathia", 0.0, 0.15, ("micrognathia", "small jaw", "receding chin")),
    Sign("HP:0002019", "Constipation", 0.0, 0.2, ("constipation", "constipated", "infrequent stools")),
    Sign("HP:0002360", "Sleep abnormality", 0.1, 0.2, ("sleep disturbance", "sleep problems", "wakes at night")),
    Sign("HP:0000718", "Aggressive behavior", 0.1, 0.15, ("aggressive behaviour", "aggression", "temper outbursts")),
    Sign("HP:0000733", "Motor stereotypy", 0.5, 0.15, ("stereotypies", "hand flapping", "repetitive movements")),
    Sign("HP:0001371", "Flexion contracture", 0.4, 0.1, ("contractures", "knees do not extend")),
    Sign("HP:0000505", "Visual impairment", 0.5, 0.15, ("visual impairment", "poor vision", "does not fix and follow")),
    Sign("HP:0000639", "Nystagmus", 0.2, 0.15, ("nystagmus", "jerking eyes", "eye oscillations")),
)  # fmt: skip
ONSET_PER_LOG_YEAR, BIALLELIC = -0.5, 0.4
_FILLER = ("Seen in the genetics clinic.", "Parents report slow progress.", "Followed since infancy.", "MRI reviewed.")
_ABSENT = ("no", "without", "no history of")


def disease_severity(
    seed: int,
    *,
    rows: int = 1600,
    diseases: int = 60,
    disease_sd: float = 0.9,
    paper_sd: float = 0.7,
    label_noise: float = 0.05,
) -> dict[str, pl.DataFrame]:
    """Cases of common and rare made-up diseases, published in papers, with the grade of their intellectual disability.

    Model: s = u[disease] + v[paper] + sum_j b_j sign_j - 0.5 log(1 + onset in years) + 0.4 [biallelic] + e, with u, v
    normal of `disease_sd` and `paper_sd`, b_j in ``SIGNS`` and e standard logistic: a proportional-odds model. The
    grade is s cut where the published shares of the grades are (2.5 %, 27.0 %, 23.8 %, 39.1 %, 7.6 %). Then
    `label_noise` of the grades are moved to a neighbour.

    Disease k has a share of cases proportional to k^-1.1: the first few have hundreds of cases, half of them fewer
    than ten. A disease has each sign by its own probability, five of them nearly always. Papers hold one to twenty
    cases of one disease. A present sign is coded in 75 % and mentioned in the note in 60 % of cases; a tenth of the
    absent ones is coded as excluded, and a few are denied in the note. Half of the diseases are dominant, 38 %
    recessive, the others X-linked.

    Parameters
    ----------
    seed : int
        Seed of numpy's default generator.
    rows, diseases : int
        Cases, and diseases among which they fall; both at least 1.
    disease_sd, paper_sd : float
        Spread of the severity between diseases, and between papers of one disease; at least 0.
    label_noise : float
        From 0 to below 1. It is drawn last: the truth of one seed is the same for every share.

    Returns
    -------
    dict
        ``cases`` (case_id, paper, disease_id, disease, sex, age_years, onset_years, zygosity, note, severity),
        ``signs`` (case_id, sign, sign_name, is_observed), and what no description may use: ``mentions`` (case_id,
        sign, is_denied) of the notes, and ``truth`` (case_id, severity before noise).
    """
    check_count("rows", rows)
    check_count("diseases", diseases)
    check_share("label_noise", label_noise)
    for name, sd in (("disease_sd", disease_sd), ("paper_sd", paper_sd)):
        if not sd >= 0:
            raise ValueError(f"{name} is {sd}; it must be at least 0")
    random = np.random.default_rng(seed)
    share = np.arange(1, diseases + 1) ** -1.1
    disease = random.choice(diseases, size=rows, p=share / share.sum())
    paper = _papers(disease, random)
    present = random.random((rows, len(SIGNS))) < _frequencies(diseases, random)[disease]
    onset = random.gamma(1.2, 1.5, size=diseases)[disease] * random.lognormal(0, 0.5, rows)
    inherited = random.choice(3, size=diseases, p=[0.5, 0.38, 0.12])[disease]  # dominant, recessive, X-linked
    sex = random.choice(2, size=rows)
    zygosity = np.where(inherited == 2, 2 * sex, inherited)
    latent = (
        random.normal(0, disease_sd, diseases)[disease]
        + random.normal(0, paper_sd, int(paper.max()) + 1)[paper]
        + present @ np.array([sign.effect for sign in SIGNS])
        + ONSET_PER_LOG_YEAR * np.log1p(onset)
        + BIALLELIC * (zygosity == 1)
        + random.logistic(size=rows)
    )
    cuts = np.quantile(latent, np.cumsum(PUBLISHED_COUNTS)[:-1] / sum(PUBLISHED_COUNTS))
    truth = np.searchsorted(cuts, latent, side="right")
    case = [f"case_{number:05d}" for number in range(1, rows + 1)]
    signs = _coded(case, present, random)
    notes, mentions = _notes(case, present, random)
    age = np.round(onset + random.gamma(2.0, 5.0, rows), 1)
    cases = pl.DataFrame(
        {
            "case_id": case,
            "paper": [f"paper_{number:05d}" for number in paper],
            "disease_id": [f"SIM:{100001 + number}" for number in disease],
            "disease": [f"Simulated syndrome {number + 1}" for number in disease],
            "sex": labels(("FEMALE", "MALE"), sex),
            "age_years": age,
            "onset_years": np.round(onset, 2),
            "zygosity": labels(("monoallelic", "biallelic", "hemizygous"), zygosity),
            "note": notes,
            "severity": labels(GRADES, moved_to_neighbours(truth, label_noise, len(GRADES), random)),
        }
    )
    told = pl.DataFrame({"case_id": case, "severity": labels(GRADES, truth)})
    return {"cases": cases, "signs": signs, "mentions": mentions, "truth": told}


def moved_to_neighbours(y: IntArray, share: float, n_classes: int, random: np.random.Generator) -> IntArray:
    """Class numbers (n,) of which about `share` became a neighbouring class: noise as graders make it."""
    moved = random.random(y.size) < share
    step = np.where(random.random(y.size) < 0.5, -1, 1)
    step = np.where(y == 0, 1, np.where(y == n_classes - 1, -1, step))
    return np.asarray(np.where(moved, y + step, y), dtype=np.int64)


def _papers(disease: IntArray, random: np.random.Generator) -> IntArray:
    """Number of each case's paper: a paper tells of one disease, of 1 to 20 cases, often of one."""
    paper = np.zeros(disease.size, dtype=np.int64)
    number = 0
    for each in np.unique(disease):
        members = random.permutation(np.flatnonzero(disease == each))
        while members.size:
            size = int(np.clip(random.geometric(0.22), 1, 20))
            paper[members[:size]] = number
            members, number = members[size:], number + 1
    return paper


def _frequencies(diseases: int, random: np.random.Generator) -> FloatArray:
    """Probability of each sign in each disease (diseases, signs); five are nearly always there."""
    common = np.array([sign.share for sign in SIGNS])
    found = random.beta(4 * common, 4 * (1 - common), size=(diseases, common.size))
    for row in found:
        row[random.choice(common.size, size=5, replace=False, p=common / common.sum())] = random.uniform(0.75, 0.97, 5)
    return np.asarray(found)


def _coded(case: list[str], present: npt.NDArray[np.bool_], random: np.random.Generator) -> pl.DataFrame:
    told = random.random(present.shape) < np.where(present, 0.75, 0.1)
    row, column = np.nonzero(told)
    return pl.DataFrame(
        {
            "case_id": [case[place] for place in row],
            "sign": [SIGNS[place].code for place in column],
            "sign_name": [SIGNS[place].name for place in column],
            "is_observed": present[row, column],
        }
    )


def _notes(
    case: list[str], present: npt.NDArray[np.bool_], random: np.random.Generator
) -> tuple[list[str], pl.DataFrame]:
    """A note for each case, and what it mentions and denies."""
    told = random.random(present.shape) < np.where(present, 0.6, 0.03)
    notes, rows = [], []
    for number, name in enumerate(case):
        found: list[str] = []
        denied: list[str] = []
        for place in random.permutation(np.flatnonzero(told[number])):
            words = SIGNS[place].words
            # The odd word is the rarest.
            word = words[random.choice(len(words), p=_word_shares(len(words)))]
            (found if present[number, place] else denied).append(word)
            rows.append((name, SIGNS[place].code, not bool(present[number, place])))
        parts = [_FILLER[random.integers(len(_FILLER))]]
        parts += [f"{', '.join(found).capitalize()}."] if found else []
        parts += [f"{_ABSENT[random.integers(len(_ABSENT))].capitalize()} {word}." for word in denied]
        notes.append(" ".join(parts))
    mentions = pl.DataFrame(rows, schema=["case_id", "sign", "is_denied"], orient="row")
    return notes, mentions


def _word_shares(count: int) -> FloatArray:
    odd = 0.12
    return np.array([(1 - odd) / (count - 1)] * (count - 1) + [odd])
