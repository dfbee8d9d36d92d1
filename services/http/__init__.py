"""What HTTP asks of every slice: strict bodies, conditional answers, cursors."""
