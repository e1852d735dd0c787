"""Every cloud detector behind one contract, `kernels.detection`: those built in, outside programs, and plug-ins.

A detector opens what it needs, such as a model, a file or a program, and answers for one scene. Which detectors judge
which scene, and how their answers are joined, is a station's matter.
"""
