"""Does a search service drop or mix a request while bluetune switches its version?"""
