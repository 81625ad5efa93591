"""A process killed anywhere in a change of the champion leaves the old or the new one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assets_tests.governance.promotion.champions import consistent_champion, last_champion
from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.ward.released import (
    ROOT as ADMINISTRATOR,
)
from assets_tests.worlds.ward.released import (
    Releasable,
    administrator,
    environment,
    second_release,
    secret,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion.promotion import recover, retire, rollback
from clinical_assets.modelling.champion.champion_pointer import JOURNAL

# Where a process is killed: module, function, and whether before or after it has done its work; and what is then true.
KILLS = {
    "promotion: bundle half copied": ("promote", "shutil.copytree", "after", "old"),
    "promotion: before the intent": ("promote", "ChampionChange.write", "before", "old"),
    "promotion: before the record": ("promote", "switching._record", "before", "old"),
    "promotion: within the record": ("promote", "Ledger.append", "after", "old"),
    "promotion: after the record": ("promote", "champions.switch", "before", "recorded"),
    "promotion: before the registry": ("promote", "switching._tell_registry", "before", "new"),
    "promotion: before the journal goes": ("promote", "switching.remove_file", "before", "new"),
    "rollback: after the intent": ("rollback", "champions.switch", "before", "old"),
    "rollback: before the record": ("rollback", "switching._record", "before", "new"),
    "rollback: within the record": ("rollback", "Ledger.append", "after", "new"),
    "rollback: before the registry": ("rollback", "switching._tell_registry", "before", "new"),
    "rollback: before the journal goes": ("rollback", "switching.remove_file", "before", "new"),
    "retirement: after the intent": ("retire", "switching._record", "before", "old"),
    "retirement: after the record": ("retire", "champions.switch", "before", "recorded"),
    "retirement: before the registry": ("retire", "switching._tell_registry", "before", "new"),
}


# One process imports everything and then forks a process for each kill, so that imports are paid once.
_KILLER = """
import json, os, shutil, signal, sys
from pathlib import Path
from typing import Any
from dataclasses import replace
from clinical_assets.workspace import Workspace
from clinical_assets.modelling.champion import champion_pointer as champions
from clinical_assets.governance.promotion import promotion, champion_switch as switching
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.modelling.tracking import registry
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.governance.signing.login import prove
from clinical_assets.foundation.settings import Settings
registry.find_version(Settings.from_environment(), COHORT, alias="challenger")
places = {
    "shutil": shutil,
    "champions": champions,
    "switching": switching,
    "ChampionChange": switching.ChampionChange,
    "Ledger": Ledger,
}

def die(act, function, when, data, catalogue):
    place, name = function.split(".")
    work = getattr(places[place], name)
    def killed(*arguments, **named):
        if when == "after":
            work(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(places[place], name, killed)
    settings = replace(Settings.from_environment(), data=Path(data), catalogue=(Path(catalogue),))
    if act == "rollback":
        promotion.rollback(settings, COHORT, actor="killed", reason="Alarms.")
    elif act == "retire":
        by = prove(RecordsDatabase(settings), "root", SECRET, actor="killed")
        promotion.retire(settings, COHORT, actor="killed", reason="Alarms.", by=by)
    else:
        candidate = candidate_of(Workspace(settings).cohort(COHORT))
        promotion.promote(candidate, actor="killed")

for task in json.load(sys.stdin):
    child = os.fork()
    if not child:
        try:
            die(*task)
        finally:
            os._exit(1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Releasable]:
    """For each kill, a copy of the data folder as the killed process left it."""
    before = second_release(tmp_path_factory).copy_to(tmp_path_factory.mktemp("kills") / "before")
    before.approve()
    after = before.copy_to(tmp_path_factory.mktemp("kills") / "after")
    after.promote()
    folder = tmp_path_factory.mktemp("killed")
    left, tasks = {}, []
    for number, (name, (act, function, when, _)) in enumerate(KILLS.items()):
        left[name] = (before if act == "promote" else after).copy_to(folder / str(number))
        settings = left[name].settings
        tasks.append([act, function, when, str(settings.data), str(settings.catalogue[0])])
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment(before).items():
            patch.setenv(variable, value)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _KILLER.replace("COHORT", repr(COHORT)).replace("SECRET", repr(secret(ADMINISTRATOR))),
            ],
            input=json.dumps(tasks),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert [int(line) for line in done.stdout.split()] == [signal.SIGKILL] * len(KILLS), done.stderr
    return left


@pytest.mark.parametrize("kill", KILLS)
def test_a_process_killed_anywhere_leaves_the_old_or_the_new_champion_and_the_next_one_finishes_or_undoes(
    killed: dict[str, Releasable], kill: str, tmp_path: Path
) -> None:
    act, function, _, state = KILLS[kill]
    left = killed[kill].copy_to(tmp_path / "left")
    at_once = last_champion(left)
    changed = at_once.by == "killed"
    assert changed == (state == "new")
    takes_effect = changed or state == "recorded"
    intended = (left.settings.serving / COHORT / JOURNAL).exists()
    assert intended == (function not in ("shutil.copytree", "ChampionChange.write"))
    found = recover(left.settings, COHORT)
    assert (found.outcome if found else None) == ("completed" if takes_effect else "undone" if intended else None)
    assert recover(left.settings, COHORT) is None
    afterwards = consistent_champion(left)
    assert (afterwards == at_once) == (state != "recorded")
    assert (afterwards.by == "killed") == takes_effect
    # Whatever was left, the same change can be done now, once.
    if act == "promote":
        assert left.promote().digest == left.candidate.digest
    elif not takes_effect:
        by = administrator(left.records)
        (rollback if act == "rollback" else retire)(left.settings, COHORT, actor="root", reason="Alarms.", by=by)
    assert (consistent_champion(left).digest == left.candidate.digest) == (act != "rollback")
    assert consistent_champion(left).retired == (act == "retire")
