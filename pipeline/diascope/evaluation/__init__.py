"""Metrics, calibration, conformal, fairness, drift: sees results and features, never models."""
