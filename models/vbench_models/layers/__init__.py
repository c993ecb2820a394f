"""What several patterns and architectures share."""
