"""HTTP: talks to people and programs. Decides nothing that `recipes` or Postgres should decide."""
