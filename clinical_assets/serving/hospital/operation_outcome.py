"""Errors of the FHIR endpoint as OperationOutcome: what FHIR R4 (http.html, "Status Codes") asks of a server.

What belongs here: from a problem to its resource. What does not: which status an error has (``web.problems``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_assets.serving.requests.findings import RequestFinding

#: http://hl7.org/fhir/issue-type for the codes of problems, and for rules of findings.
_ISSUES: Mapping[str, str] = {
    "malformed": "structure",
    "unauthorised": "login",
    "forbidden": "forbidden",
    "unknown-cohort": "not-found",
    "no-codes": "not-supported",
    "not-json": "not-supported",
    "too-many-requests": "throttled",
    "not-served": "transient",
    "log-unavailable": "transient",
    "records-unavailable": "transient",
    "refused-values": "value",
    "missing": "required",
    "null": "required",
    "value-set": "code-invalid",
    "category": "code-invalid",
    "modifier": "extension",
    "ambiguous": "multiple-matches",
    "too_long": "too-long",
    "erased": "suppressed",
}


def operation_outcome(
    code: str, message: str, cure: str, *, request_id: str, findings: Sequence[RequestFinding] = ()
) -> dict[str, Any]:
    """The resource, as plain values.

    Parameters
    ----------
    code : str
        Of the problem.
    message, cure : str
        What is wrong, and what to do.
    request_id : str
        Names the request in the server's log.
    findings : sequence of RequestFinding
        Everything that is wrong with the request; without any, there is one issue with the message.
    """
    about = f"request {request_id}; {code}"
    issues = [_issue(each, about) for each in findings] or [
        {
            "severity": "error",
            "code": _ISSUES.get(code, "processing"),
            "details": {"text": f"{message} {cure}".strip()},
            "diagnostics": about,
        }
    ]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _issue(finding: RequestFinding, about: str) -> dict[str, Any]:
    more = [f"permitted: {finding.permitted}"] if finding.permitted else []
    more += [f"value: {finding.value}"] if finding.value else []
    return {
        "severity": "error",
        "code": _ISSUES.get(finding.rule, "value"),
        "details": {"text": f"{finding.detail[:1].upper()}{finding.detail[1:]}. {finding.cure}"},
        "diagnostics": "; ".join([finding.rule, *more, about]),
        "expression": [_expression(finding.pointer)],
    }


def _expression(pointer: str) -> str:
    """A JSON pointer into the Bundle as FHIRPath."""
    found = "Bundle"
    for part in pointer.split("/")[1:]:
        found += f"[{part}]" if part.isdigit() else f".{part}"
    return found
