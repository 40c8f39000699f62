"""The truth: the fleet as it was declared, the installs that were ordered, and what became of them."""
