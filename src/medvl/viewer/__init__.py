"""Pictures that a person looks at: pages, overlays, curves, contact sheets."""
