"""Card fraud: the ready-made use case, and a simulator of card payments to try it on."""
