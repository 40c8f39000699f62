"""Tells places on the web of events: queued with the event, sent until taken."""
