"""The servers that benchmarks and tests run against."""
