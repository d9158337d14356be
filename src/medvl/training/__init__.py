"""Lightning modules, thin: model, objective and optimiser wired together."""
