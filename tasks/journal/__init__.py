"""Every outcome on disk before its part is committed."""
