"""Names of files in a bundle's folder, and what is wrong where a bundle cannot be used."""

from clinical_assets.foundation.errors import ClinicalAssetsError

MODEL, STATEMENT, RUN = "model.onnx", "features.sql", "run.json"


class BundleError(ClinicalAssetsError):
    """A bundle that is incomplete, changed, or of another format."""
