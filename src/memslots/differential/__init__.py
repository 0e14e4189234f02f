"""Random and directed calls on the live kernel beside the model."""
