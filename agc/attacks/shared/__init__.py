"""What attacks and adversarial objectives share: the threat model, and PGD."""
