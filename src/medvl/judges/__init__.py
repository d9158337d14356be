"""Judges: whatever says whether one text follows from others, and says so with evidence."""
