"""Losses, one file each, with the equation and its source."""
