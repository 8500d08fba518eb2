"""Development equipment shipped with the product: stand-ins for services that need a key."""
