"""One module per command; heavy imports only inside command bodies."""
