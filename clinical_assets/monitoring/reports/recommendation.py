"""What should happen to the champion; made from the other reports by the asset ``update_recommendation``."""

from clinical_assets.monitoring.report_type import ReportType

REPORT = ReportType(name="update_recommendation", place=99, label="Recommendation", alert="recommendation")
