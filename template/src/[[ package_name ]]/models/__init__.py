"""The models: primary, fallback and small, and which of them answered."""
