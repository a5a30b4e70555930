"""The runners: how `step` is driven on one machine, and where all wiring is done."""
