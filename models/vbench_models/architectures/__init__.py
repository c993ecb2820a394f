"""Video architectures, one family a file: configuration, blocks, model, presets as values, builders by name."""
