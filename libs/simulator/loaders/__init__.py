"""Boot loaders: what each asks for, in which order, and how it reads what it gets."""
