"""What optimizers share: timm's optimizers by their names."""
