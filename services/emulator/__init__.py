"""An offline YouTube: Data API, thumbnail host and feed over HTTP, from a catalogue of our own."""
