"""run/case.py is the main path; around it batch, ledger, engines, tracking and report."""
