"""The plan by which the demo audits its own small cohort: what a plan looks like, and what few patients can say."""

from diascope.evaluation.audit.settings import AuditSettings, Gate

OWN_PLAN = AuditSettings(
    task="segmentation",
    where={"bundle": "flair_glioma_segmentation", "label": "tumour"},
    groups=("sex", "age_years", "manufacturer", "field_strength_t"),
    primary=("dice",),
    gate=Gate(max_gap={"dice": 0.1}),
    title="Bias audit of the demo's own cohort: synthetic heads",
    is_simulated=True,
)
"""Whom the audit compares, by whom and how they were scanned, and how much worse a group may be."""
