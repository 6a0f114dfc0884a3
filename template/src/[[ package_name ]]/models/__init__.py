"""The models (primary, fallback and small), the choice between them, and the record of which one answered."""
