"""The bias audit: for whom is a network worse, and is that chance, scanner or neither."""
