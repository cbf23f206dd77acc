"""Neural parts with no opinion, which families assemble."""
