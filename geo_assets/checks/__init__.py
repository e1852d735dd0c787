"""An inspector per station: what its manifest must show for the next one to have good ground.

Inspectors read manifests only, and report; what must stop the line is raised inside the station.
"""
