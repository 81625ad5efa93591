"""Keys that lie apart from the data: of the installation, and of subjects' pseudonyms."""
