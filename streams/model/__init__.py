"""Chat models behind one small protocol, so that agents depend on no provider and every answer can be recorded."""
