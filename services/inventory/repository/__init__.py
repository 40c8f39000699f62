"""The only room that speaks SQL: plain data in, plain data out, inside a transaction that the caller holds."""
