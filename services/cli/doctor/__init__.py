"""What keeps a deployment from working, found before a machine finds it: checks of the host and of what runs on it."""
