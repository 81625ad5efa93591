"""When the assets of a release are made by themselves.

What belongs here: conditions that the daemon evaluates. Nothing is decided by them: they only ask for a run.
"""

import dagster as dg

#: The check that says whether a dossier is worth a person's reading.
NOTHING_FAILED = dg.AssetCheckKey(dg.AssetKey("gate_verdicts"), "nothing_failed")
_HANDLED = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
_QUIET = ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()
# Most cohorts never have a recalibrated model, and wait for none.
_LACKS_INPUT = dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets("recalibrated_model"))
# New input, or input that was there before anybody watched. "Newly", so that a run that failed is not asked for again
# and again; and not `since_last_handled`, which forgets what was true when the daemon first looked.
_NEW_INPUT = (dg.AutomationCondition.missing() & ~_LACKS_INPUT).newly_true() | dg.AutomationCondition.any_deps_updated()
# Asked for together, gates and dossier are one run, in which a failing gate holds the dossier back. Later the check
# says so: those of single gates do not tell a failure from what could not be judged, which must be read to be waived.
_RELEASABLE = dg.AutomationCondition.all_deps_match(
    dg.AutomationCondition.will_be_requested()
    | dg.AutomationCondition.all_checks_match(dg.AutomationCondition.check_passed()).allow(
        dg.AssetSelection.checks(NOTHING_FAILED)
    )
)
DUE = _NEW_INPUT.since(_HANDLED) & _QUIET & _RELEASABLE
# What arrives between two looks of the daemon, in which something else was asked for or made, must not count as handled
# by it: a second model. The price is a run too many, which finds nothing to do.
JUDGE = _NEW_INPUT.since(_HANDLED & ~_NEW_INPUT) & _QUIET
