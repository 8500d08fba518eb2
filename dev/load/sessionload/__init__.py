"""Load: sessions in their thousands, on real nodes or played ones, and what it costs."""
