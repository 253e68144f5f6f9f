"""
Sample applications: code to copy and change.
"""
