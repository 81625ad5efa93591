"""Raw inputs under their digest: writing, finding, restoring and migrating snapshots."""
