"""Heatmaps that say what a network looked at, and the checks that say whether they deserve trust."""
