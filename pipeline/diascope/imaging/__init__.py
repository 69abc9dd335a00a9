"""Pure functions on volumes: resample, intensity, components, measurements."""
