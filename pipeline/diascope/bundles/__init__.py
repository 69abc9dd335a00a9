"""models/<name>/ made safe: find, verify against bundles.lock, build network and its steps."""
