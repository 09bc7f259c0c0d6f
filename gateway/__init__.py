"""The audience gateway: Segment events in, audience lists at ad platforms kept equal. Rooms are described in docs/."""
