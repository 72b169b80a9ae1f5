"""The media repository: files that people attach, their thumbnails, and previews of links."""
