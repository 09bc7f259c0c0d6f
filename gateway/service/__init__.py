"""Wiring: builds each role's rooms, starts them in order, stops them in reverse. No rule of the product lives here."""
