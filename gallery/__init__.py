"""Audits of real models. An entry is one short file of `entries/`; what it found lies in `results/`, and its page in
``docs/gallery/``. ``python -m gallery build NAME`` makes both anew."""
