"""The phantom written out: one file per official layout."""
