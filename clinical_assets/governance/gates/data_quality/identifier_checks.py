"""Do the tables that models, reports and monitoring read still say who somebody is? Safe Harbor, judged."""

from __future__ import annotations

from collections.abc import Iterator

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.privacy.safe_harbor.deidentify import FEATURE_SCHEMAS, scan_cohort
from clinical_assets.governance.privacy.safe_harbor.scan import IdentifierFinding
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.governance.verdicts.yes_no_verdicts import SHOWN, verdict, yes_or_no

_INDIRECT = ("dates and ages", "geography")


def deidentified(candidate: ReleaseCandidate) -> Iterator[Verdict]:
    """Direct identifiers fail. Ages, dates and places may stay where an expert determined so: a person must sign."""
    tables = [info for info in candidate.warehouse.tables() if info.schema in FEATURE_SCHEMAS]
    if not any((info.schema, info.name) == ("model", "features") for info in tables):
        said = f"Not checked: the warehouse holds no feature table. Materialize features of {candidate.cohort}."
        yield verdict("safe_harbor", "insufficient", said)
        return
    findings = scan_cohort(candidate.spec, settings=candidate.settings)
    indirect = [each for each in findings if each.identifier_class in _INDIRECT]
    direct = [each for each in findings if each.identifier_class not in _INDIRECT]
    looked_at = {"tables": [f"{info.schema}.{info.name}" for info in tables]}
    yield yes_or_no(
        "safe_harbor",
        tuple(map(_told_finding, direct)),
        good=f"No direct identifier of Safe Harbor was found in {len(tables)} feature and log tables.",
        cure=" ".join(dict.fromkeys(each.cure for each in direct[:3])),
        classes=sorted({each.identifier_class for each in direct}),
        **looked_at,
    )
    shown = [_told_finding(each) for each in indirect]
    evidence = {"found": shown[:SHOWN], "classes": sorted({each.identifier_class for each in indirect}), **looked_at}
    criterion = "safe_harbor_ages_dates_places"
    if not indirect:
        said = f"No age over 89, date finer than a year or small place was found in {len(tables)} tables."
        yield verdict(criterion, "pass", said, evidence=evidence)
    elif candidate.spec.synthetic:
        said = f"{'; '.join(shown[:3])}. The records are synthetic, so this is about nobody."
        yield verdict(criterion, "pass", said, evidence=evidence)
    else:
        cures = " ".join(dict.fromkeys(each.cure for each in indirect[:3]))
        said = f"{'; '.join(shown[:3])}. {cures} Or sign that an expert determined the risk (45 CFR 164.514(b)(1))."
        yield verdict(criterion, "insufficient", said, evidence=evidence)


def _told_finding(finding: IdentifierFinding) -> str:
    return f"{finding.relation}.{finding.column} holds {finding.rule} in {finding.rows} rows"
