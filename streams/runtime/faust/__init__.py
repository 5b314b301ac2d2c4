"""Our classes at the seams that Faust offers: transport, conductor, stream, table, assignor, app."""
