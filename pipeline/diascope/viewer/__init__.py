"""A web app over finished results: worklist, images with overlays, verdicts. It never runs a model."""
