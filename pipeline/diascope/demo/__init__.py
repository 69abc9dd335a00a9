"""A small cohort made on the spot, with truth, planted faults and no real patient."""
