"""Pictures: decoded inside limits, made into tensors, cut into tiles."""
