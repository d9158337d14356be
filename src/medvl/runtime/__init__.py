"""What every run needs: configuration, checkpoints, provenance, signals, devices, privacy, errors."""
