"""Every door to the outside: archives, files of scenes and of ours, stores, products, pictures, the forest's model.

It opens and closes, and decides nothing: which scenes, which pixels and what becomes of them is a station's matter.
"""
