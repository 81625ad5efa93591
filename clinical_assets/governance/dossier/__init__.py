"""The release dossier: one folder with everything that a person signs, and its digest."""
