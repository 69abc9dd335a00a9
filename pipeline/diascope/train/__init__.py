"""Fine-tune a bundle, or train it from scratch, from a manifest."""
