"""Previews of links: the server looks at a page so that everybody who reads the link need not."""
