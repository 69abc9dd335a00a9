"""What a run will do, how long it will take and how much disk, from headers alone."""
