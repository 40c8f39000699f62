"""All of kickfleet on one host: the embedded bus and the four services as processes under one roof."""
