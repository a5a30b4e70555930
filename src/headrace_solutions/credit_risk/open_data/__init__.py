"""Public credit data as use cases: Taiwan's cards, Give Me Some Credit, and Statlog's German set.

The sets have no times and no ids. A row is an application whose id is its number; it is declared to
come a minute after the row before, and whether it defaulted is declared known with it. So history
is parted by the order of rows, and nothing is said of time.
"""
