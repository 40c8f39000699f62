"""The HTTP API: thin, typed, and every refusal a problem document."""
