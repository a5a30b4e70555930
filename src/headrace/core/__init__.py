"""What every other package stands on: errors, columns, compiled kernels, exact numbers."""
