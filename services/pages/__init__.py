"""Pages for people: drawn on the server, by a signed session, over the same rooms as the API. Without JavaScript they
can be read and answered; with it, parts of them are exchanged in place."""
