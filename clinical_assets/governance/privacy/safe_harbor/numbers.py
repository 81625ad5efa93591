"""Rules of Safe Harbor on numbers and addresses that stand for a person, on biometrics, pictures and codes.

What belongs here: classes (D) to (R) of 45 CFR 164.514(b)(2)(i).
"""

from __future__ import annotations

from clinical_assets.governance.privacy.safe_harbor.values import (
    LEFT_OUT,
    MBI,
    NUMBER,
    OCTET,
    PERSON,
    SSN,
    UUID,
    IdentifierRule,
    whole,
    word,
)

NUMBER_RULES: tuple[IdentifierRule, ...] = (
    IdentifierRule(
        "telephone",
        "column of telephone numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        column=r"(^|_)(phone|telephone|mobile|cell_?phone|tel|pager)(_|$)",
        share=0.5,
        value="length(regexp_replace(regexp_replace({text}, '\\.0$', ''), '[^0-9]', '', 'g')) BETWEEN 7 AND 15",
    ),
    IdentifierRule(
        "fax",
        "column of fax numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        column=r"(^|_)(tele)?fax(_|$)",
        value="length(regexp_replace(regexp_replace({text}, '\\.0$', ''), '[^0-9]', '', 'g')) BETWEEN 7 AND 15",
    ),
    IdentifierRule(
        "e-mail",
        "e-mail address",
        "Remove e-mail addresses.",
        value=r"regexp_matches({text}, '[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}')",
    ),
    IdentifierRule("social security number", "social security number", "Remove these numbers.", value=word(SSN)),
    IdentifierRule(
        "social security number",
        "column of social security numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        column=r"(^|_)(ssn|social_security)(_|$)",
        value="length(regexp_replace(regexp_replace({text}, '\\.0$', ''), '[^0-9]', '', 'g')) BETWEEN 4 AND 9",
    ),
    IdentifierRule(
        "medical record number",
        "column of record numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)(mrn|(medical_?record|chart|hospital|file){NUMBER})(_|$)",
    ),
    IdentifierRule(
        "medical record number",
        "record number in a text",
        "Remove these numbers.",
        value=r"regexp_matches({text}, '(?i)(^|[^a-z])(mrn|medical record( number)?|chart (no|number))"
        r"[.:# ]{1,3}[a-z]{0,3}\d{4,}')",
    ),
    IdentifierRule(
        "health plan number",
        "column of health plan numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)(insurance|health_?plan|member|beneficiary|policy|medicare|medicaid|nhs|subscriber|insured)({NUMBER})?(_|$)",
    ),
    IdentifierRule(
        "health plan number", "Medicare beneficiary identifier", "Remove these numbers.", value=whole(MBI), share=0.2
    ),
    IdentifierRule(
        "account number",
        "column of account numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)(account|iban|billing|invoice|credit_card){NUMBER}?(_|$)",
    ),
    IdentifierRule(
        "account number",
        "international bank account number",
        "Remove these numbers.",
        value=whole(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?")
        + r" AND regexp_matches({text}, '\d{6}')",
        share=0.2,
    ),
    IdentifierRule(
        "licence number",
        "column of licence or certificate numbers",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)(licen[cs]e|certificate|passport|npi|drivers?){NUMBER}?(_|$)",
    ),
    IdentifierRule(
        "vehicle",
        "column of vehicles",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)(vin|vehicle|licen[cs]e_plate|number_plate|plate){NUMBER}?(_|$)",
    ),
    IdentifierRule(
        "vehicle",
        "vehicle identification number",
        LEFT_OUT,
        share=0.5,
        value=whole("[A-HJ-NPR-Z0-9]{17}")
        + r" AND regexp_matches({text}, '[A-Z]') AND regexp_matches({text}, '\d{3}')",
    ),
    IdentifierRule(
        "device",
        "column of devices",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)((device|implant|pacemaker|pump){NUMBER}|serial{NUMBER}?|udi|imei|mac_address)(_|$)",
    ),
    IdentifierRule(
        "device",
        "hardware address or device identifier",
        "Remove these numbers.",
        value=word(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}") + r" OR regexp_matches({text}, '\(01\)\d{14}')",
    ),
    IdentifierRule(
        "url",
        "web address",
        "Remove web addresses.",
        value=r"regexp_matches({text}, '(?i)(https?|ftp)://|(^|[^a-z0-9])www\.[a-z0-9-]+\.')",
    ),
    IdentifierRule(
        "ip address",
        "IP address",
        "Remove IP addresses.",
        value=whole(rf"(?:{OCTET}\.){{3}}{OCTET}")
        + " OR "
        + whole(r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f:]{1,30}"),
    ),
    IdentifierRule(
        "ip address",
        "IP address in a text",
        "Remove IP addresses.",
        value=r"regexp_matches({text}, '(?i)(^|[^a-z])(ip|from|address|host)[ :=]{1,3}"
        + rf"(?:{OCTET}\.){{3}}{OCTET}"
        + r"($|[^0-9.])')",
    ),
    IdentifierRule(
        "biometric",
        "column of biometric identifiers",
        LEFT_OUT,
        kinds=("text", "number", "bytes"),
        column=r"(^|_)(finger_?prints?|voice_?prints?|retina_scan|iris_scan|biometrics?|face_(embedding|template)|dna_profile)(_|$)",
    ),
    IdentifierRule(
        "photograph",
        "column of pictures",
        LEFT_OUT,
        kinds=("text", "bytes"),
        column=r"(^|_)(photos?|photographs?|portrait|face_image|mugshot|selfie)(_|$)",
    ),
    IdentifierRule(
        "photograph",
        "picture",
        LEFT_OUT,
        kinds=("bytes",),
        value="left(hex({value}), 6) = 'FFD8FF' OR left(hex({value}), 8) = '89504E47' "
        "OR hex({value}[129:132]) = '4449434D'",
    ),
    IdentifierRule("photograph", "picture as text", LEFT_OUT, value="starts_with({text}, 'data:image/')"),
    IdentifierRule(
        "other unique code",
        "column of numbers of persons or records",
        LEFT_OUT,
        kinds=("text", "number"),
        many=True,
        column=rf"(^|_)({PERSON}{NUMBER}|usubjid|subjid|uuid|guid|identifier|external_id)(_|$)",
    ),
    IdentifierRule("other unique code", "UUID", LEFT_OUT, share=0.5, many=True, value=whole(UUID)),
    IdentifierRule(
        "other unique code",
        "code that is different in nearly every row",
        LEFT_OUT,
        share=0.95,
        many=True,
        personal=True,
        value=whole(r"[A-Za-z0-9._/-]{4,40}") + r" AND regexp_matches({text}, '\d') "
        r"AND TRY_CAST({text} AS DOUBLE) IS NULL AND NOT starts_with({text}, 'sha256:')",
    ),
)
