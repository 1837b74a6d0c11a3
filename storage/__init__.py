"""The only SQL. One module per aggregate; a function per query; connections are passed in."""
