"""A campaign against an installation: kills, forged rows, flipped bits, hostile files, a copied folder, all counted.

What belongs here: trials that are drawn at random until their time is over (``make campaign``). What does not: tests of
one case each, which stand beside the module that they test. A trial is a violation when the platform took harm
without saying so.
"""
