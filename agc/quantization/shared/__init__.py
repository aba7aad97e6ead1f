"""What policies of quantization share: grids of numbers, rounding, and the layers that use them."""
