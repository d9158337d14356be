"""Metrics: records or arrays in, per-sample values out; no model and no dataset is imported here."""
