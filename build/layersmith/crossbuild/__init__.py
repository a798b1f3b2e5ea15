"""Compiles sdists for another architecture, on the host, with zig's C and C++ compiler.

No Docker and no emulation: the build backend runs in a Python of this machine that believes to be
the target's, and its compiler is clang with the C library of exactly the runtime's version.
"""
