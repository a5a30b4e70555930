"""Keys, the vault of personal data, and who may do what."""
