"""What of a job has to be done for a cohort: what is not as it would be made now, and what hangs on that.

Dagster's own staleness compares code and data versions, but knows neither files nor parts of a description. Here all of
them are compared (``defs.shared.made_from``), and a check that failed or did not end counts too: an asset that was
made by a killed run, or that a blocking check stopped, is made and checked again.

What looks at records, people or the clock is never known to be unchanged. In a job that also makes what it is made from
it is made when that is new, and a blocking check that failed on it stands; a job of nothing else asks for it each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.dagster_private import checks_of
from clinical_assets.definitions import load
from clinical_assets.defs.resources import platform
from clinical_assets.defs.shared.made_from import MADE_FROM, TAG, data_version, newest_materialization, short
from clinical_assets.foundation.errors import ClinicalAssetsError

if TYPE_CHECKING:
    import dagster as dg

_CODE_VERSION = "dagster/code_version"
_ALWAYS = "looks at records, people or the clock"
_PARENTS = "what it is made from"


@dataclass(frozen=True)
class Due:
    """Assets of one cohort that have to be made.

    Attributes
    ----------
    assets : tuple of str
        In the order in which they are made; none when nothing has changed.
    reasons : tuple of str
        Why, for people: ``features: sql``.
    standing : tuple of str
        What holds up the rest although nothing has to be made: ``gate_verdicts fails its check nothing_failed``.
    """

    assets: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()


class DueAssets:
    """Which assets of a job are due.

    Parameters
    ----------
    instance : DagsterInstance
        Where materialisations and checks are recorded.
    job : str
        Name of a job that is partitioned by cohort.
    """

    def __init__(self, instance: dg.DagsterInstance, job: str) -> None:
        self._instance = instance
        definitions = load()
        graph = definitions.resolve_asset_graph()
        layer = definitions.resolve_job_def(job).asset_layer
        selected = {key.to_user_string(): key for key in layer.selected_asset_keys}
        ordered = [key.to_user_string() for level in graph.toposorted_asset_keys_by_level for key in sorted(level)]
        self._assets = tuple(name for name in ordered if name in selected)
        self._code = {name: graph.get(selected[name]).code_version for name in self._assets}
        self._parents = {
            name: {key.to_user_string() for key in graph.get(selected[name]).parent_keys} for name in self._assets
        }
        self._together = {
            name: {key.to_user_string() for key in layer.get(selected[name]).assets_def.keys} & selected.keys()
            for name in self._assets
        }
        self._checks: dict[str, list[dg.AssetCheckKey]] = {name: [] for name in self._assets}
        for check in sorted(layer.asset_graph.asset_check_keys, key=str):
            if check.asset_key.to_user_string() in self._checks:
                self._checks[check.asset_key.to_user_string()].append(check)

    def first(self, cohort: str) -> Due:
        """What has to be made whatever comes out of the rest; what merely hangs on that waits for ``then``.

        A changed comment in a SQL model is done with once the same features have come out of it.
        """
        stale = self._stale(cohort)
        hanging = self._hanging_on(set(stale)) - set(stale)
        # What comes after something that may have to be made first is no matter of the first round.
        later = self._hanging_on(hanging)
        due = self._due({name: why for name, why in stale.items() if name not in later})
        return due if due.assets else Due(standing=self._standing(cohort))

    def then(self, cohort: str) -> Due:
        """After the first round: what is due now, with all that hangs on it, in one run.

        What is asked for each time was made in the first round, and once is what was asked for.
        """
        stale = self._stale(cohort, asked=False)
        after = dict.fromkeys(self._hanging_on(set(stale)), _PARENTS)
        return self._due({**after, **stale})

    def _due(self, found: dict[str, str]) -> Due:
        assets = tuple(name for name in self._assets if name in found)
        return Due(assets, tuple(f"{name}: {found[name]}" for name in assets))

    def _hanging_on(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        for name in self._assets:
            if self._parents[name] & (names | found):
                found |= self._together[name] - names
        return found

    def _stale(self, cohort: str, *, asked: bool = True) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self._assets:
            why = self._why(name, cohort)
            if why is not None and (asked or why != _ALWAYS):
                found |= {part: found.get(part, why) for part in self._together[name]}
        # What comes out of these is known to nobody before: all that hangs on them is made in the same run.
        always = {name for name, why in found.items() if why == _ALWAYS}
        return {**dict.fromkeys(self._hanging_on(always), _PARENTS), **found}

    def _why(self, name: str, cohort: str) -> str | None:
        """Why an asset has to be made, in words; None when it would come out as it is."""
        ingredients = MADE_FROM.get(name)
        parents = self._parents[name] & set(self._assets)
        if ingredients is None and not parents:
            return _ALWAYS
        if ingredients is None and any(self._failed(parent, cohort) for parent in parents):
            return None  # in one run with what failed it would be held up
        newest = newest_materialization(self._instance, name, cohort)
        if newest is None:
            return "not made yet"
        number, made = newest
        tags = made.tags or {}
        if tags.get(_CODE_VERSION) != self._code[name]:
            return "code"
        if ingredients is None:
            return self._after(parents, cohort, number)
        try:
            opened = ingredients.opened(platform(), cohort)
            now = ingredients.made_from.digests(opened)
            there = ingredients.made_from.exists(opened)
        except ClinicalAssetsError:
            return "cannot be compared"  # the run says what is wrong, in the words of whoever reads it
        if not there:
            return "what was made is gone"
        for asset in ingredients.assets:
            version = data_version(self._instance, asset, cohort)
            if version is not None:
                now[asset] = short(version)
        before = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
        changed = [part for part in sorted({*now, *before}) if now.get(part) != before.get(part)]
        return ", ".join(changed) or self._unchecked(name, cohort, number)

    def _after(self, parents: set[str], cohort: str, number: int) -> str | None:
        """Whether something that it is made from was made after it."""
        made = (newest_materialization(self._instance, parent, cohort) for parent in sorted(parents))
        return _PARENTS if any(each is not None and each[0] > number for each in made) else None

    def _failed(self, name: str, cohort: str) -> tuple[str, ...]:
        """Blocking checks that failed on an asset's newest materialisation."""
        newest = newest_materialization(self._instance, name, cohort)
        states = () if newest is None else checks_of(self._instance, self._checks[name], cohort)
        return tuple(state.name for state in states if newest and state.blocks and state.looked_at == newest[0])

    def _standing(self, cohort: str) -> tuple[str, ...]:
        return tuple(
            f"{name} fails its check {check}"
            for name in self._assets
            if MADE_FROM.get(name) is None
            for check in self._failed(name, cohort)
        )

    def _unchecked(self, name: str, cohort: str, number: int) -> str | None:
        for state in checks_of(self._instance, self._checks[name], cohort):
            if state.looked_at != number:
                return f"check {state.name} did not end"
            if state.blocks:
                return f"check {state.name} failed"
        return None
