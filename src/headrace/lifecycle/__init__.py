"""From history to a model: training sets, splits, metrics, the registry, back-tests."""
