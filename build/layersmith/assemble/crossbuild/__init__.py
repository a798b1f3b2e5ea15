"""Compiles sdists for another architecture, on the host, with zig's C and C++ compiler."""
