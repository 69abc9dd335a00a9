"""Tracking: what a run was and how it went, kept in MLflow; the only place that imports it."""
