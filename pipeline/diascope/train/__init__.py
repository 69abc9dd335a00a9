"""Training: from a manifest and a config to a bundle that MONAI can run, too."""
