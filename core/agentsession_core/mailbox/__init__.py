"""Messages and turns in Redis: keys, schemas, and one Lua script for every transition."""
