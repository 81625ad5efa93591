"""What a release is made of: packages, licences, advisories, and the files of a bundle, each parsed as its own type."""
