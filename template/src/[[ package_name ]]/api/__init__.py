"""What every HTTP door needs: keys, limits, idempotency, what may be asked, and how a refusal reads."""
