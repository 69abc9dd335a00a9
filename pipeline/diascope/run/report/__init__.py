"""What a run has done, at a glance: report.html, its tables and figures."""
