"""Cases: what was asked. The door that takes them, the store that keeps them, the lists that find them."""
