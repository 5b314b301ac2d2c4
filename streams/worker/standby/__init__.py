"""Standbys: warm copies of other workers' stores, so that their next owner need not rebuild them."""
