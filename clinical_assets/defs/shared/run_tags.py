"""Run tags by which one part of the platform tells another why a run was started.

What belongs here: names of tags that are written in one module and read in another.
"""

#: Account that asked for the run; set by what starts runs for people.
ACTOR_TAG = "clinical_assets/actor"
#: What a recommendation wants done to the champion, and the digest of its cause.
UPDATE_TAG, CAUSE_TAG = "clinical_assets/update", "clinical_assets/cause"
#: Fit every candidate, although the newest training had made the same searches.
AFRESH_TAG = "clinical_assets/afresh"
#: Name of the sensor that asked for the run; Dagster sets it.
SENSOR_TAG = "dagster/sensor_name"
#: Metadata of a promotion that was asked for too early: what people have still to do.
WAITS_FOR = "waits for"
