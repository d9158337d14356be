"""Protocols: a model and a dataset in, per-sample tables and figures with intervals out."""
