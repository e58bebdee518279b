"""The recurrence on an NVIDIA GPU: a kernel written from a cell's program, one launch for a whole sequence."""
