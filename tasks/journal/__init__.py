"""Write-ahead journals: every outcome is on disk before its part is committed."""
