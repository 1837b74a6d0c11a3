"""What crosses a process or lives in a workflow history. Names and shapes only."""
