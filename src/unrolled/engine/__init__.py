"""One cell run through time: the reference, the CPU kernels, and what chooses between them."""
