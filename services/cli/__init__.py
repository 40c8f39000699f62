"""The command line, the supervisor and the demo: the only room that sees all services."""
