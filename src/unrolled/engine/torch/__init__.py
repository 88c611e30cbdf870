"""The engine of torch's own fused layers, for the cells that torch has."""
