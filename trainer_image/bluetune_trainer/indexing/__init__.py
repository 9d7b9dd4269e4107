"""The search index of a version: the catalogue encoded in parts, and loaded where a server looks for it."""
