"""How a fine-tuning will go, from the linearised dynamics of its network, before it is run."""
