"""The verbs, each a thin shell: read the arguments, ask the API, print."""
