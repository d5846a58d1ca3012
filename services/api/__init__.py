"""The front door in a browser and over HTTP: pages for people, ``/api/v1`` for programs."""
