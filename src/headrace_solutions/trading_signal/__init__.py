"""Trading signals: order books and trades as streams, and readers of feeds that exchanges send."""
