"""From a prepared image to logits and label maps: device, precision, windows, memory."""
