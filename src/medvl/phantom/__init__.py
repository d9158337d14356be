"""The phantom: a simulated patient world, drawn as radiographs, told as reports, written out in the official dataset layouts."""
