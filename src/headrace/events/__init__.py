"""Events: schemas, codecs, validation, quarantine, and the ports they come and go by."""
