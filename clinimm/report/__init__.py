"""One JSON record per explained answer; everything else, such as the HTML page, is a rendering of it."""
