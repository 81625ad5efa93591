"""The name under which a protected attribute stands beside features, risks and outcomes."""

from __future__ import annotations

GROUP_PREFIX = "protected_"
