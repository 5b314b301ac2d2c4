"""Who owns a key, and how to ask them: what every reader of live state goes through."""
